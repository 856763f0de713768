-- One batch of one partition, or a piece of it that goes ahead (SEMANTICS.md, sections 3 and 4; core/pieces.py): all of the
-- call or nothing.
--
-- Contract: changes nothing unless epoch, topic, graph generation and expected next offset match. Everything that can
-- raise (unpacking, the fence) is done before the first write, for Redis does not roll back; the fence moves last.
-- KEYS 1 f:p  2 meta  3 names 4 ds 5 dz 6 sv 7 mv 8 fr 9 wp 10 cad 11 job 12 jz 13 edge 14 ez 15 ax 16 mz 17 ex 18 al
--      19 run 20 gone 21 rc:p 22 sb:p 23 asof 24 about, then S outboxes, S ro, then the seen lists to append to, then those to drop
-- ARGV 1 epoch 2 topic 3 gen 4 expected 5 next, '' in a piece that goes ahead: the fence and what belongs to it stay 6 mx 7 floor
--      8..13 counters 14 as-of or '' 15 partition 16 S 17 call token 18 closed runs kept 19 closed runs kept after (µs)
--      20 plan (msgpack) 21 '1' if the records were applied before, to a state that was set back since
--      22 names of buckets to append, '\n' between 23 the same to drop, then the packed ids by appended list
-- Returns {'OK', longest outbox, {run key, joined record, …}} or {'FENCED', epoch} {'TOPIC', topic} {'GEN', gen} {'NEXT', next}.

local f = redis.call('HMGET', KEYS[1], 'epoch', 'topic', 'next')
if f[1] ~= ARGV[1] then return {'FENCED', f[1] or ''} end
if f[2] ~= ARGV[2] then return {'TOPIC', f[2] or ''} end
local gen = redis.call('HGET', KEYS[2], 'gen') or '0'
if gen ~= ARGV[3] then return {'GEN', gen} end
if f[3] ~= ARGV[4] then return {'NEXT', f[3] or ''} end
local S = tonumber(ARGV[16])
local OUT, RO, SEEN = 24, 24 + S, 24 + 2 * S
local partition = tonumber(ARGV[15])
local plan = cmsgpack.unpack(ARGV[20])
local appends = #ARGV - 23
if appends > #KEYS - SEEN then return redis.error_reply('ARITY') end

local call, unpk, spack, sunpack = redis.call, unpack, struct.pack, struct.unpack
local CHUNK = 1000 -- pairs; unpack() takes about 8,000 values
local said = {}    -- names that only this call can know, by shard
local learned = {} -- runs that were joined here, for the owner to know

local function name(key, n)
  local s = key:byte(1) % S
  local list = said[s]
  if list then list[#list + 1] = n else said[s] = { n } end
end

local function above(a, b) -- unsigned bytes; < on strings follows the server's locale
  local n = math.min(#a, #b)
  for i = 1, n do
    local x, y = a:byte(i), b:byte(i)
    if x ~= y then return x > y end
  end
  return #a > #b
end

-- The merge law of core/lattice.py for records of `n` doubles and a payload. Mostly one of the two is above the other in
-- everything, and is kept as it is.
local function payload_of_first(size, a, b, old, new)
  if b > a then return new:sub(size + 1) end
  if a > b then return old:sub(size + 1) end
  local p, q = old:sub(size + 1), new:sub(size + 1)
  return above(q, p) and q or p
end

local function merged(fmt, n, old, new)
  if old == new then return old end
  if n == 1 then
    local a = sunpack(fmt, old)
    local b = sunpack(fmt, new)
    if b > a then return new end
    if a > b then return old end
    return old:sub(1, 8) .. payload_of_first(8, a, b, old, new)
  elseif n == 4 then
    local a1, a2, a3, a4 = sunpack(fmt, old)
    local b1, b2, b3, b4 = sunpack(fmt, new)
    if b1 > a1 and b2 >= a2 and b3 >= a3 and b4 >= a4 then return new end
    if a1 > b1 and a2 >= b2 and a3 >= b3 and a4 >= b4 then return old end
    return spack(fmt, math.max(a1, b1), math.max(a2, b2), math.max(a3, b3), math.max(a4, b4))
      .. payload_of_first(32, a1, b1, old, new)
  end
  local o, w = { sunpack(fmt, old) }, { sunpack(fmt, new) }
  local payload = payload_of_first(n * 8, o[1], w[1], old, new)
  for i = 1, n do if o[i] > w[i] then w[i] = o[i] end end
  return spack(fmt, unpk(w, 1, n)) .. payload
end

local function merge_records(key, fmt, n, list, changed)
  for lo = 1, #list, 2 * CHUNK do
    local hi = math.min(lo + 2 * CHUNK - 1, #list)
    local fields = {}
    for i = lo, hi, 2 do fields[#fields + 1] = list[i] end
    local olds = call('HMGET', key, unpk(fields))
    local write, k = {}, 0
    for j = 1, #fields do
      local old, new = olds[j], list[lo + 2 * j - 1]
      if old then new = merged(fmt, n, old, new) end
      if new ~= old then
        write[k + 1], write[k + 2] = fields[j], new
        k = k + 2
        if changed then changed(fields[j], old, new) end
      end
    end
    if k > 0 then call('HSET', key, unpk(write)) end
  end
end

-- Repeats of a field within one list would be merged against the same old value, so the planner sends each once.
local function zgreater(key, list)
  for lo = 1, #list, 2 * CHUNK do
    call('ZADD', key, 'GT', unpk(list, lo, math.min(lo + 2 * CHUNK - 1, #list)))
  end
end

local function many(command, key, list)
  for lo = 1, #list, 2 * CHUNK do
    call(command, key, unpk(list, lo, math.min(lo + 2 * CHUNK - 1, #list)))
  end
end

local function mark_writer(key, p)
  local at, bit_ = math.floor(p / 8) + 1, p % 8
  local old = call('HGET', KEYS[9], key) or ''
  if #old < at then old = old .. string.rep('\0', at - #old) end
  local now = bit.bor(old:byte(at), bit.lshift(1, bit_))
  if now ~= old:byte(at) or #old == at then
    call('HSET', KEYS[9], key, old:sub(1, at - 1) .. string.char(now) .. old:sub(at + 1))
  end
end

local MINUTE = 60000000
local RING = 4032
local function mark_slot(key, slot) -- the ring of core/cadence.py
  local old = call('HGET', KEYS[10], key)
  local newest, ring
  if not old then
    newest, ring = slot, string.rep('\0', 504)
  else
    newest, ring = sunpack('>I4', old), old:sub(5)
    if slot <= newest - RING then return end
    if slot > newest then
      if slot - newest >= RING then
        ring = string.rep('\0', 504)
      else
        local bytes = { ring:byte(1, 504) }
        for s = newest + 1, slot do
          local at = s % RING
          local i = math.floor(at / 8) + 1
          bytes[i] = bit.band(bytes[i], bit.bnot(bit.lshift(1, at % 8)))
        end
        ring = string.char(unpk(bytes))
      end
      newest = slot
    end
  end
  local at = slot % RING
  local i = math.floor(at / 8) + 1
  local byte = bit.bor(ring:byte(i), bit.lshift(1, at % 8))
  call('HSET', KEYS[10], key, spack('>I4', newest) .. ring:sub(1, i - 1) .. string.char(byte) .. ring:sub(i + 1))
end

-- Runs ------------------------------------------------------------------------------------------------------------
-- A run is written at once if nobody but this owner wrote it; otherwise the two records are joined here, and what the
-- join proves (credits of outputs that came over another partition) is merged and named too.

local function pick(a, b, n) -- the larger of two arrays of numbers and strings
  for i = 1, n do
    local x, y = a[i], b[i]
    if x ~= y then
      if type(x) == 'number' then return x > y and a or b end
      return above(x, y) and a or b
    end
  end
  return a
end

local function low(a, b)
  if a == 0 then return b end
  if b == 0 then return a end
  return math.min(a, b)
end

local function union(a, b)
  if a == b or b == '' then return a end
  if a == '' then return b end
  local out, i, j = {}, 1, 1
  while i <= #a or j <= #b do
    local x, y = a:sub(i, i + 11), b:sub(j, j + 11)
    if y == '' or (x ~= '' and x ~= y and above(y, x)) then
      out[#out + 1] = x; i = i + 12
    elseif x == '' or x ~= y then
      out[#out + 1] = y; j = j + 12
    else
      out[#out + 1] = x; i = i + 12; j = j + 12
    end
  end
  return table.concat(out)
end

local function join_offsets(a, b)
  if #b == 0 then return a end
  if #a == 0 then return b end
  local first, last, keys = {}, {}, {}
  for _, flat in ipairs({ a, b }) do
    for i = 1, #flat, 3 do
      local k = flat[i]
      if first[k] then
        first[k] = math.min(first[k], flat[i + 1]); last[k] = math.max(last[k], flat[i + 2])
      elseif #keys < 256 then
        keys[#keys + 1] = k; first[k] = flat[i + 1]; last[k] = flat[i + 2]
      end
    end
  end
  table.sort(keys, function(x, y) return above(y, x) end)
  local out = {}
  for _, k in ipairs(keys) do
    out[#out + 1] = k; out[#out + 1] = first[k]; out[#out + 1] = last[k]
  end
  return out
end

local function join_runs(a, b)
  return {
    low(a[1], b[1]), low(a[2], b[2]), math.max(a[3], b[3]), math.max(a[4], b[4]),
    pick(a[5], b[5], 2), pick(a[6], b[6], 3), pick(a[7], b[7], 4), bit.bor(a[8], b[8]), math.max(a[9], b[9]),
    union(a[10], b[10]), union(a[11], b[11]), pick(a[12], b[12], 3), pick(a[13], b[13], 4), join_offsets(a[14], b[14]),
  }
end

local function closed(r)
  local completed, failed = r[5][1], r[7][1]
  if completed > 0 and completed >= failed then return true end
  if failed == 0 or (bit.band(r[8], 2) ~= 0 and r[4] > failed) then return false end
  return true
end

local ZEROS = string.rep('\0', 12)
local function credit_outputs(key, r)
  local list = {}
  local who = r[6][2] .. key:sub(13) .. key:sub(1, 12) .. (r[6][3] == '' and ZEROS or r[6][3])
  for i = 1, #r[11], 12 do
    local dataset = r[11]:sub(i, i + 11)
    list[#list + 1] = dataset
    list[#list + 1] = spack('>dddd', r[6][1], 0, r[7][1], r[9]) .. (r[6][1] > 0 and who or '')
    name(dataset, 'f' .. dataset)
    if r[6][1] > 0 then
      mark_writer(dataset, partition)
      mark_slot(dataset, math.floor(r[6][1] / 300000000))
    end
  end
  if r[6][1] > 0 or r[7][1] > 0 or r[9] > 0 then merge_records(KEYS[8], '>dddd', 4, list) end
end

local function write_joined(key, old, value, is_closed, shard)
  local a, b = cmsgpack.unpack(old:sub(9)), cmsgpack.unpack(value:sub(9))
  local r = join_runs(a, b)
  -- Under another name than the call's own: what this owner sends next was built without knowing the joined record.
  local stored = value:sub(1, 8):reverse() .. cmsgpack.pack(r)
  call('HSET', KEYS[19], key, stored)
  learned[#learned + 1] = key
  learned[#learned + 1] = stored
  credit_outputs(key, r)
  local was, is = closed(a), closed(r)
  if is then
    call('ZREM', KEYS[RO + 1 + shard], key)
    if not was and is_closed == 0 then call('RPUSH', KEYS[21], spack('>d', r[3]) .. key) end
  else
    call('ZADD', KEYS[RO + 1 + shard], 'GT', (math.floor(r[3] / MINUTE) + 1) * MINUTE - 1, key)
  end
end

-- key, token, value, whether it is closed, shard of each
local function write_runs(runs)
  for lo = 1, #runs, 5 * CHUNK do
    local keys = {}
    for i = lo, math.min(lo + 5 * CHUNK - 1, #runs), 5 do keys[#keys + 1] = runs[i] end
    local olds, write, k = call('HMGET', KEYS[19], unpk(keys)), {}, 0
    for j = 1, #keys do
      local i = lo + 5 * (j - 1)
      local key, old, token = keys[j], olds[j], runs[i + 1]
      if not old or old:sub(1, 8) == token then
        write[k + 1], write[k + 2] = key, runs[i + 2]
        k = k + 2
        -- It had left with the horizon while its owner still knew it: it has to be able to leave again.
        if not old and runs[i + 3] == 1 and token ~= '' then
          call('RPUSH', KEYS[21], spack('>d', tonumber(ARGV[6])) .. key)
        end
      else
        write_joined(key, old, runs[i + 2], runs[i + 3], runs[i + 4])
      end
    end
    if k > 0 then call('HSET', KEYS[19], unpk(write)) end
  end
end

-- Writes ----------------------------------------------------------------------------------------------------------
-- A Redis without memory refuses what may grow, command by command: asked with the first write, it refuses all or nothing.
call('HSET', KEYS[1], 'epoch', ARGV[1])
local P = plan
if #P[1] > 0 then many('HSET', KEYS[3], P[1]) end
merge_records(KEYS[4], '>ddddd', 5, P[2])
zgreater(KEYS[5], P[3])
-- Of these only the text is published. Where it is as it was the last image shows it, unless that image is of a future that was
-- lost, in which the text was another one: what is read again is named in any case.
local again = ARGV[21] == '1'
local function is_new(old, new) return again or not old or old:sub(25) ~= new:sub(25) end
merge_records(KEYS[6], '>d', 1, P[4], function(field, old, new)
  if is_new(old, new) then name(field, 'd' .. field) end
end)
merge_records(KEYS[7], '>d', 1, P[5])
local told = {}
merge_records(KEYS[24], '>d', 1, P[23], function(field, old, new) -- a node has several facts, and one image
  local key, kind = field:sub(1, 12), field:byte(13) < 97 and 'd' or 'j'
  if not told[key] and is_new(old, new) then
    told[key] = true
    name(key, 'b' .. kind .. key)
  end
end)
merge_records(KEYS[8], '>dddd', 4, P[6])
merge_records(KEYS[11], '>dddd', 4, P[7])
zgreater(KEYS[12], P[8])
merge_records(KEYS[13], '>d', 1, P[9])
zgreater(KEYS[14], P[10])
many('ZADD', KEYS[15], P[11])
zgreater(KEYS[16], P[12])
many('ZADD', KEYS[17], P[13])
merge_records(KEYS[18], '>dd', 2, P[14])
for i = 1, #P[15], 2 do mark_writer(P[15][i], P[15][i + 1]) end
for i = 1, #P[16], 2 do mark_slot(P[16][i], P[16][i + 1]) end
for i = 1, #P[18], 2 do zgreater(KEYS[RO + 1 + P[18][i]], P[18][i + 1]) end
for i = 1, #P[19], 2 do many('ZREM', KEYS[RO + 1 + P[19][i]], P[19][i + 1]) end
write_runs(P[17])
for lo = 1, #P[20], CHUNK do call('RPUSH', KEYS[21], unpk(P[20], lo, math.min(lo + CHUNK - 1, #P[20]))) end

-- Closed runs leave with the horizon or past their bound, a bounded number at a time. The record decides: a run that opened
-- again stays (it is listed anew when it closes), one that was spoken of since its listing moves to the end of the list.
local over = math.min(call('LLEN', KEYS[21]) - tonumber(ARGV[18]), 2000)
local crowded = over > 0 and call('LPOP', KEYS[21], over) or {}
local oldest = tonumber(ARGV[6]) - tonumber(ARGV[19])
local listed = {}
local head = call('LINDEX', KEYS[21], 0)
while head and #crowded + #listed < 2000 and sunpack('>d', head) < oldest do
  listed[#listed + 1] = call('LPOP', KEYS[21])
  head = call('LINDEX', KEYS[21], 0)
end
local function leave(members, before)
  for lo = 1, #members, CHUNK do
    local keys, gone = {}, {}
    for i = lo, math.min(lo + CHUNK - 1, #members) do keys[#keys + 1] = members[i]:sub(9) end
    local values = call('HMGET', KEYS[19], unpk(keys))
    for i = 1, #keys do
      local r = values[i] and cmsgpack.unpack(values[i]:sub(9))
      if r and closed(r) then
        local last = math.max(r[3], r[5][1], r[7][1])
        if last < before then gone[#gone + 1] = keys[i] else call('RPUSH', KEYS[21], spack('>d', last) .. keys[i]) end
      end
    end
    if #gone > 0 then call('HDEL', KEYS[19], unpk(gone)) end
  end
end
leave(crowded, math.huge)
leave(listed, oldest)

-- Removed datasets (SEMANTICS.md, section 3). Whoever asserts one past its removal brings it back. Only here is that seen:
-- the removal may be another owner's, and its own owner leaves unnamed what it named in the same minute.
local back = #P[3] > 0 and call('EXISTS', KEYS[20]) == 1
for lo = 1, back and #P[3] or 0, 2 * CHUNK do
  local keys = {}
  for i = lo, math.min(lo + 2 * CHUNK - 1, #P[3]), 2 do keys[#keys + 1] = P[3][i + 1] end
  local gone = call('HMGET', KEYS[20], unpk(keys))
  for j, key in ipairs(keys) do
    if gone[j] and tonumber(P[3][lo + 2 * j - 2]) > tonumber(gone[j]) then
      call('HDEL', KEYS[20], key)
      name(key, 'd' .. key)
      name(key, 'bd' .. key)
    end
  end
end
for i = 1, #P[22], 2 do
  local key, at = P[22][i], P[22][i + 1]
  local asserted = tonumber(call('ZSCORE', KEYS[5], key) or 0)
  if asserted <= at and at > tonumber(call('HGET', KEYS[20], key) or 0) then
    call('HSET', KEYS[20], key, string.format('%.0f', at))
  end
end

for i = 1, #P[21], 2 do
  local s = P[21][i]
  if said[s] then table.insert(said[s], 1, P[21][i + 1]) else said[s] = { P[21][i + 1] } end
end
local longest = 0
for s, list in pairs(said) do
  longest = math.max(longest, call('RPUSH', KEYS[OUT + 1 + s], table.concat(list)))
end

if ARGV[5] == '' then return { 'OK', longest, learned } end
-- The log of seen ids, the as-of proof, and last the fence.
local i = 1
for bucket in string.gmatch(ARGV[22], '[^\n]+') do
  call('RPUSH', KEYS[SEEN + i], ARGV[23 + i])
  call('SADD', KEYS[22], bucket)
  i = i + 1
end
for bucket in string.gmatch(ARGV[23], '[^\n]+') do
  call('UNLINK', KEYS[SEEN + i])
  call('SREM', KEYS[22], bucket)
  i = i + 1
end
if ARGV[14] ~= '' then call('HSET', KEYS[23], ARGV[15], ARGV[14]) end
call('HSET', KEYS[1], 'mx', ARGV[6], 'floor', ARGV[7], 'applied', ARGV[8], 'dup', ARGV[9], 'late', ARGV[10],
  'future', ARGV[11], 'undeduped', ARGV[12], 'bad', ARGV[13], 'next', ARGV[5])
return { 'OK', longest, learned }
