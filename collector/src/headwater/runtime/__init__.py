"""What every process of Headwater stands on: settings, connections, errors, metrics, health. Not for jobs that emit.

Importing the SDK (`import headwater`) loads nothing of this.
"""
