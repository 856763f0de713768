"""What Kubernetes knows of jobs and they cannot say any more: `pods` reads it out of a pod, `watching` follows the API."""
