#!lua name=signalbox_jobs

-- The records of jobs. Each function is one step of a job's life, and whole or not at all.
--
-- With P for the prefix (keys[1]):
--   P..'job:'..id               hash, the record
--   P..'key:'..unique_key       id of the job that has it
--   P..'in:'..kind..':'..state  ids, all with score 0 and so in their own order, which is that of creation
--   P..'waiting'                hash, waiting jobs by kind|priority
--   P..'deadlines'              ids of jobs that have not ended, by deadline in milliseconds
--   P..'expiries'               kind:state:id of ended jobs, by the millisecond at which their record goes

local function fields_of(key, ...)
  return redis.call('hmget', key, ...)
end

local function count_waiting(prefix, kind, priority, by)
  redis.call('hincrby', prefix .. 'waiting', kind .. '|' .. priority, by)
end

local function move(prefix, id, kind, priority, from, to)
  redis.call('zrem', prefix .. 'in:' .. kind .. ':' .. from, id)
  redis.call('zadd', prefix .. 'in:' .. kind .. ':' .. to, 0, id)
  redis.call('hset', prefix .. 'job:' .. id, 'state', to)
  if from == 'waiting' then count_waiting(prefix, kind, priority, -1) end
  if to == 'waiting' then count_waiting(prefix, kind, priority, 1) end
end

local function has_ended(state)
  return state == 'succeeded' or state == 'failed' or state == 'cancelled' or state == 'buried'
end

-- argv: id, kind, priority, unique key, most that may wait, deadline in ms or 0, then fields and values
redis.register_function('sbj_create', function(keys, argv)
  local prefix, id, kind, priority, unique = keys[1], argv[1], argv[2], argv[3], argv[4]
  if unique ~= '' then
    local kept = redis.call('get', prefix .. 'key:' .. unique)
    if kept and redis.call('exists', prefix .. 'job:' .. kept) == 1 then return { 'kept', kept } end
  end
  local waiting = redis.call('zcard', prefix .. 'in:' .. kind .. ':waiting')
  if waiting >= tonumber(argv[5]) then return { 'full', tostring(waiting) } end
  redis.call('hset', prefix .. 'job:' .. id, 'id', id, 'kind', kind, 'priority', priority, 'unique_key', unique, 'state', 'waiting', unpack(argv, 7))
  redis.call('zadd', prefix .. 'in:' .. kind .. ':waiting', 0, id)
  count_waiting(prefix, kind, priority, 1)
  if unique ~= '' then redis.call('set', prefix .. 'key:' .. unique, id) end
  if argv[6] ~= '0' then redis.call('zadd', prefix .. 'deadlines', argv[6], id) end
  return { 'created', id }
end)

-- argv: id, delivery (the worker's name and one of its own), now in ns. Answers what to do, 1 when the attempt before was lost with its worker,
-- and the record.
redis.register_function('sbj_begin', function(keys, argv)
  local prefix, id = keys[1], argv[1]
  local key = prefix .. 'job:' .. id
  local got = fields_of(key, 'state', 'kind', 'priority', 'attempt', 'max_attempts', 'worker', 'deadline_ns')
  local state, attempt = got[1], tonumber(got[4] or '0')
  if not state then return { 'absent', 0, {} } end
  if has_ended(state) then return { 'ended', 0, redis.call('hgetall', key) } end
  if state == 'running' and got[6] == argv[2] then return { 'begun', 0, redis.call('hgetall', key) } end
  local lost = state == 'running' and 1 or 0
  local deadline = tonumber(got[7] or '0') or 0
  if deadline > 0 and tonumber(argv[3]) >= deadline then return { 'late', lost, redis.call('hgetall', key) } end
  if attempt >= tonumber(got[5]) then return { 'worn', lost, redis.call('hgetall', key) } end
  move(prefix, id, got[2], got[3], state, 'running')
  redis.call('hset', key, 'attempt', attempt + 1, 'worker', argv[2], 'started_ns', argv[3])
  return { 'begun', lost, redis.call('hgetall', key) }
end)

-- argv: id, attempt, done, total, unit, message. 0: that attempt is not the running one any more.
redis.register_function('sbj_progress', function(keys, argv)
  local key = keys[1] .. 'job:' .. argv[1]
  local got = fields_of(key, 'state', 'attempt', 'done')
  if got[1] ~= 'running' or got[2] ~= argv[2] then return 0 end
  local done = argv[3]
  if tonumber(got[3] or '0') > tonumber(done) then done = got[3] end
  redis.call('hset', key, 'done', done, 'total', argv[4], 'unit', argv[5], 'message', argv[6])
  return 1
end)

-- argv: id, attempt, `retrying` or `waiting` (handed back), attempts to add to the most that are allowed, then fields and values.
-- 0: that attempt is not the running one any more, or somebody asked for the job's end.
redis.register_function('sbj_release', function(keys, argv)
  local prefix, id = keys[1], argv[1]
  local key = prefix .. 'job:' .. id
  local got = fields_of(key, 'state', 'attempt', 'kind', 'priority', 'cancel')
  if got[1] ~= 'running' or got[2] ~= argv[2] or got[5] then return 0 end
  move(prefix, id, got[3], got[4], 'running', argv[3])
  redis.call('hincrby', key, 'max_attempts', argv[4])
  if #argv > 4 then redis.call('hset', key, unpack(argv, 5)) end
  return 1
end)

local function finish(prefix, id, got, to, now_ms, keep_ms)
  local key = prefix .. 'job:' .. id
  move(prefix, id, got[3], got[4], got[1], to)
  redis.call('zrem', prefix .. 'deadlines', id)
  redis.call('pexpire', key, keep_ms)
  if got[5] and got[5] ~= '' and redis.call('get', prefix .. 'key:' .. got[5]) == id then
    redis.call('pexpire', prefix .. 'key:' .. got[5], keep_ms)
  end
  redis.call('zadd', prefix .. 'expiries', now_ms + keep_ms, got[3] .. ':' .. to .. ':' .. id)
end

-- argv: id, attempt, state, now in ms, ms to keep it, then fields and values. 0: that attempt is not the current one any more.
redis.register_function('sbj_finish', function(keys, argv)
  local prefix, id = keys[1], argv[1]
  local got = fields_of(prefix .. 'job:' .. id, 'state', 'attempt', 'kind', 'priority', 'unique_key')
  if not got[1] or has_ended(got[1]) or (got[2] or '0') ~= argv[2] then return 0 end
  redis.call('hset', prefix .. 'job:' .. id, unpack(argv, 6))
  finish(prefix, id, got, argv[3], tonumber(argv[4]), tonumber(argv[5]))
  return 1
end)

-- Ends a job that no worker has, because of a wish or of its deadline. A running one is marked where `argv[6]` is 1.
-- argv: id, state, now in ms, ms to keep it, now in ns, 1 to mark, error code, error. Answers the state it had.
redis.register_function('sbj_end_idle', function(keys, argv)
  local prefix, id = keys[1], argv[1]
  local key = prefix .. 'job:' .. id
  local got = fields_of(key, 'state', 'attempt', 'kind', 'priority', 'unique_key')
  if not got[1] then return 'absent' end
  if got[1] == 'running' and argv[6] == '1' then redis.call('hset', key, 'cancel', '1') end
  if got[1] == 'waiting' or got[1] == 'retrying' then
    redis.call('hset', key, 'ended_ns', argv[5], 'error_code', argv[7], 'error', argv[8])
    finish(prefix, id, got, argv[2], tonumber(argv[3]), tonumber(argv[4]))
  end
  return got[1]
end)

-- argv: id. Answers the state it had; nothing is forgotten that has not ended.
redis.register_function('sbj_delete', function(keys, argv)
  local prefix, id = keys[1], argv[1]
  local got = fields_of(prefix .. 'job:' .. id, 'state', 'kind', 'unique_key')
  if not got[1] then return 'absent' end
  if has_ended(got[1]) then
    if got[3] ~= '' and redis.call('get', prefix .. 'key:' .. got[3]) == id then redis.call('del', prefix .. 'key:' .. got[3]) end
    redis.call('zrem', prefix .. 'in:' .. got[2] .. ':' .. got[1], id)
    redis.call('zrem', prefix .. 'expiries', got[2] .. ':' .. got[1] .. ':' .. id)
    redis.call('del', prefix .. 'job:' .. id)
  end
  return got[1]
end)

-- argv: now in ms, how many at most. Takes the ids of records that have gone out of the lists.
redis.register_function('sbj_sweep', function(keys, argv)
  local prefix = keys[1]
  local members = redis.call('zrange', prefix .. 'expiries', 0, argv[1], 'byscore', 'limit', 0, argv[2])
  for _, member in ipairs(members) do
    local kind, state, id = string.match(member, '^(.*):(%a+):(%w+)$')
    redis.call('zrem', prefix .. 'in:' .. kind .. ':' .. state, id)
    redis.call('zrem', prefix .. 'expiries', member)
  end
  return #members
end)
