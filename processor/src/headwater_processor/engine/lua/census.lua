-- What there is of some datasets and their edges; writes nothing. Bounded by the number of edges it looks at: what is left over is
-- asked for again, with where to go on in the edges of the first dataset.
-- KEYS 1 ds 2 dz 3 fr 4 ax 5 ez 6 edge
-- ARGV 1 edges at most 2 the edge after which the first dataset goes on, or '' 3 … dataset keys
-- Returns {datasets done, the last edge of the next one or '', then for each dataset looked at: 1 if it is present, its last write (µs),
--   edges that read it, that write it, that derive it (it is the target), of these without a run, 1 if one of all its edges is present}
local left, after = tonumber(ARGV[1]), ARGV[2]
local out, n = {0, ''}, 2

local function retracted(dataset)
  local record = redis.call('HGET', KEYS[1], dataset)
  return record and struct.unpack('>d', string.sub(record, 9, 16)) or 0
end

local function present(dataset, gone)
  local asserted = redis.call('ZSCORE', KEYS[2], dataset)
  return asserted ~= false and tonumber(asserted) > gone
end

for at = 3, #ARGV do
  local dataset = ARGV[at]
  local gone = retracted(dataset)
  local here = present(dataset, gone)
  local fresh = redis.call('HGET', KEYS[3], dataset)
  local write = fresh and struct.unpack('>d', string.sub(fresh, 1, 8)) or 0
  local counts = {r = 0, w = 0, d = 0}
  local without, linked, more = 0, 0, true
  local low = after == '' and '[' .. dataset or '(' .. after
  after = ''
  while more and left > 0 do
    local size = math.min(left, 200)
    local members = redis.call('ZRANGEBYLEX', KEYS[4], low, '(' .. dataset .. string.rep('\255', 26), 'LIMIT', 0, size)
    for i = 1, #members do
      local edge = string.sub(members[i], 13)
      local kind, source, target = string.sub(edge, 1, 1), string.sub(edge, 2, 13), string.sub(edge, 14)
      if kind ~= 'd' or target == dataset then
        counts[kind] = counts[kind] + 1
        local record = redis.call('HGET', KEYS[6], edge)
        if not record or string.sub(record, 25, 40) == string.rep('\0', 16) then without = without + 1 end
      end
      if here and linked == 0 then
        local asserted = tonumber(redis.call('ZSCORE', KEYS[5], edge) or '0')
        if asserted > gone then
          linked = 1
          if kind == 'd' and source ~= target then
            local other = source == dataset and target or source
            local other_gone = retracted(other)
            if asserted <= other_gone or not present(other, other_gone) then linked = 0 end
          end
        end
      end
    end
    left = left - #members
    more = #members == size
    if #members > 0 then low = '(' .. members[#members] end
  end
  for _, value in ipairs({here and 1 or 0, write, counts.r, counts.w, counts.d, without, linked}) do
    n = n + 1
    out[n] = value
  end
  if more then
    out[2] = string.sub(low, 1, 1) == '(' and string.sub(low, 2) or ''
    return out
  end
  out[1] = out[1] + 1
  if left <= 0 and at < #ARGV then return out end
end
return out
