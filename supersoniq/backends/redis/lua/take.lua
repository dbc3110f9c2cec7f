-- Lease messages: any number of takes from one queue. ARGV[7] is how many; each is four arguments:
-- the limit, the recipient or '', the lease in milliseconds or '', and after how many bytes to stop.

go_on_without_memory()
if not exists then return answer('missing', false) end
if not tick() then return finish('again', false) end

-- Who is next, up to a limit: ids in the order of delivery, and the members of a recipient's own.
-- Places are compared as numbers: Lua compares texts by the locale.
local function next_in_line(limit, recipient)
    local members = call('ZRANGE', LINE, 0, limit - 1)
    local ids, from_own = {}, {}
    local own = {}
    if recipient ~= '' then
        local start = rules().own_line(recipient)
        own = call('ZRANGEBYLEX', OWN, '[' .. start, '(' .. start .. string.rep('\255', 8), 'LIMIT', 0, limit)
    end
    if #own == 0 then
        for i = 1, #members do ids[i] = sub(members[i], 3) end
        return ids, from_own, members
    end
    local i, j = 1, 1
    while #ids < limit do
        local common, mine = members[i], own[j]
        if not common and not mine then break end
        local first = mine ~= nil
        if common and mine then
            local rank, sequence = unpack_bytes('>I2I5', mine, #mine - 6)
            local other_rank, other_sequence = unpack_bytes('>I2I5', common)
            first = rank < other_rank or (rank == other_rank and sequence < other_sequence)
        end
        if first then
            ids[#ids + 1] = sub(mine, -5)
            from_own[#ids] = mine
            j = j + 1
        else
            ids[#ids + 1] = sub(common, 3)
            i = i + 1
        end
    end
    return ids, from_own, members
end

local function take(limit, recipient, length, most)
    if queue.paused then return {} end
    local ids, from_own, members = next_in_line(limit, recipient)
    if #ids == 0 then return {} end
    local deadline = now + length
    local score = whole(deadline)
    local fresh_state = state_of('l', 1, 0, deadline)
    local states = many(STATE, ids)
    local changed, leased, expiring, own, given = {}, {}, {}, {}, {deadline}
    local taken, bytes, common = 0, 0, 0
    local at = 1
    local step = most < MOST_BYTES and 8 or 64
    for from = 1, #ids, step do
        local to = math.min(from + step - 1, #ids)
        local contents = call('HMGET', CONTENT, unpack(ids, from, to))
        for k = from, to do
            local id, state, content = ids[k], states[k], contents[k - from + 1]
            if not content then
                -- Nothing is left of it. Whoever asked for it finds that it is not sound.
                local rank = from_own[k] and unpack_bytes('>I2', from_own[k], #from_own[k] - 6) or unpack_bytes('>I2', members[common + 1])
                content = state and head_of(sub(state, FIXED + 1)) or pack('>I8I8I2I2', now, 0, rank, 0)
                call('HSET', CONTENT, id, content)
            end
            local head
            if state then
                local leases, uncounted = unpack_bytes('>I4I4', state, 2)
                head = sub(state, FIXED + 1, FIXED + HEAD)
                state = state_of('l', leases + 1, uncounted, deadline) .. sub(state, FIXED + 1)
                changed[2 * k] = state
            else
                head = head_of(content)
                changed[2 * k] = fresh_state .. head
            end
            if sub(head, 9, 16) ~= '\0\0\0\0\0\0\0\0' then expiring[#expiring + 1] = id end
            if from_own[k] then own[#own + 1] = from_own[k] else common = common + 1 end
            changed[2 * k - 1] = id
            leased[2 * k - 1], leased[2 * k] = score, id
            given[at + 1], given[at + 2], given[at + 3] = id, state or '', content
            at = at + 3
            bytes = bytes + #content
            taken = k
            if bytes >= most then break end
        end
        -- A few thousand of the largest contents would fill a memory: who asked gets fewer then.
        if bytes >= most then break end
    end
    if common > 0 then call('ZREMRANGEBYRANK', LINE, 0, common - 1) end
    in_parts('ZREM', OWN, own)
    in_parts('ZREM', EXPIRY, expiring)
    in_parts('HSET', STATE, changed)
    in_parts('ZADD', LEASED, leased)
    count('lease:ready:leased', taken)
    at_latest(deadline)
    if queue.watches and rules().records('leased') then
        for k = 1, taken do
            rules().tell('leased', rules().load(ids[k]))
        end
    end
    return given
end

local results, at = {}, 8
for i = 1, tonumber(ARGV[7]) do
    local length = tonumber(ARGV[at + 2]) or terms().lease
    results[i] = {length, take(tonumber(ARGV[at]), ARGV[at + 1], length, tonumber(ARGV[at + 3]))}
    at = at + 4
end
return finish('ok', results)
