-- What all queues of a store have in common, in one hash: the version of the layout, the secret from
-- which ids and receipts are made, how many queues there have ever been, and the names of those that
-- there are ('=' and the name, with the queue's number and when it was given out).

local STORE = KEYS[1]
local verb = ARGV[1]

local function present()
    return redis.call('HMGET', STORE, 'version', 'secret')
end

if verb == 'open' then
    if not present()[1] then redis.call('HSET', STORE, 'version', ARGV[2], 'secret', ARGV[3]) end
    return present()
end

-- A number for a queue that is to be made. Each is given out once, and whoever asks must have the
-- right secret: the server may have lost everything since. And there may be too many names already
-- (beside them stand three fields), unless it is one of those.
if verb == 'reserve' then
    if present()[2] ~= ARGV[2] then return -1 end
    if ARGV[4] ~= '' and redis.call('HLEN', STORE) - 3 >= tonumber(ARGV[4])
        and redis.call('HEXISTS', STORE, '=' .. ARGV[3]) == 0 then
        return -2
    end
    local number = redis.call('HINCRBY', STORE, 'made', 1)
    redis.call('HSET', STORE, '=' .. ARGV[3], string.format('%.0f', number) .. ' ' .. redis.call('TIME')[1])
    return number
end

-- Strike a name out, unless it stands for another queue by now.
if verb == 'forget' then
    local value = redis.call('HGET', STORE, '=' .. ARGV[2])
    if value and string.match(value, '^%d+') == ARGV[3] then redis.call('HDEL', STORE, '=' .. ARGV[2]) end
    return 0
end

return redis.call('HGETALL', STORE)
