-- How a message's record is read and written, and how it gets from place to place: whatever its
-- status says, it is in the one set for that, and nowhere else. Made with the rules, when they are.

local function make_records()
    local M = {}

    -- Records.

    local function decode(id, state)
        local status, leases, uncounted, instant = unpack_bytes('>c1I4I4I8', state)
        local head = head_of(sub(state, FIXED + 1))
        if not head then return nil end
        local created, expires, rank = unpack_bytes('>I8I8I2', head)
        local record = {
            id = id, status = status, leases = leases, uncounted = uncounted, instant = instant,
            created = created, expires = expires, rank = rank, recipient = sub(head, HEAD + 1),
            available = created, outcomes = '', reason = false, failure = false,
        }
        local past = sub(state, FIXED + #head + 1)
        if past ~= '' then
            record.available, record.outcomes, record.reason, record.failure = unpack(cmsgpack.unpack(past))
        end
        return record
    end

    local function encode(record, status)
        local state = state_of(status or record.status, record.leases, record.uncounted, record.instant)
            .. pack('>I8I8I2I2', record.created, record.expires, record.rank, #record.recipient)
            .. record.recipient
        if record.available == record.created and record.outcomes == '' and not record.reason and not record.failure then
            return state
        end
        return state .. cmsgpack.pack({record.available, record.outcomes, record.reason, record.failure})
    end

    local function load(id)
        local state = call('HGET', STATE, id)
        if state then return decode(id, state) end
        local head = head_of(call('HGET', CONTENT, id))
        return head and decode(id, state_of('r', 0, 0, 0) .. head)
    end

    -- Places.

    local function own_line(recipient)
        return pack('>I2', #recipient) .. recipient
    end

    local function place_in_line(record)
        local member = pack('>I2', record.rank) .. record.id
        if record.recipient == '' then return LINE, member end
        return OWN, own_line(record.recipient) .. member
    end

    local PLACES = {s = DUE, l = LEASED, d = KEPT, x = KEPT}
    local STATUSES = {s = 'scheduled', r = 'ready', l = 'leased', d = 'done', x = 'dead'}

    local function records(kind)
        local watch = queue.watches and queue.watches[kind]
        return watch and now < watch[1]
    end

    -- Write an event: the message as it is after the move, or as it last was.
    local function tell(kind, record, was)
        if not records(kind) then return end
        local log = queue.log
        if not log then
            local stored = call('HMGET', QUEUE, 'log_offset', 'log_oldest', 'log_count', 'log_bytes')
            log = {offset = tonumber(stored[1]), oldest = tonumber(stored[2]),
                count = tonumber(stored[3]), bytes = tonumber(stored[4])}
            queue.log = log
        end
        -- In capitals: it is gone, and this is what it was.
        local state = encode(record, record.status or string.upper(was))
        local content = call('HGET', CONTENT, record.id) or ''
        log.offset = log.offset + 1
        call('XADD', LOG, whole(log.offset) .. '-1', 'k', kind, 't', whole(now), 'i', record.id, 's', state, 'm', content)
        log.count = log.count + 1
        log.bytes = log.bytes + #state + #content
        while log.count > CAPACITY or (log.bytes > MOST_BYTES and log.count > 1) do
            local oldest = call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1]
            if not oldest then break end
            call('XDEL', LOG, oldest[1])
            log.oldest = tonumber(string.match(oldest[1], '^%d+')) + 1
            log.count = log.count - 1
            log.bytes = log.bytes - #oldest[2][8] - #oldest[2][10]
        end
        queue.stirs = queue.stirs + 1
    end

    function M.save_log()
        local log = queue.log
        if log then
            change('log_offset', whole(log.offset)); change('log_oldest', whole(log.oldest))
            change('log_count', log.count); change('log_bytes', whole(log.bytes))
        end
    end

    local WAITING = {s = true, r = true}

    -- Put a record where its status belongs now, and tell those who watch.
    local function moved(record, kind, source, was)
        local status, id = record.status, record.id
        if source == 'r' then
            call('ZREM', place_in_line(record))
        else
            call('ZREM', PLACES[source], id)
        end
        if record.expires > 0 and WAITING[source] and not WAITING[status] then
            call('ZREM', EXPIRY, id)
        end
        tell(kind, record, was)
        if not status then
            call('HDEL', CONTENT, id)
            call('HDEL', STATE, id)
            turn_pages({[floor(unpack_bytes('>I5', id) / 256)] = 1}, -1)
            return
        end
        call('HSET', STATE, id, encode(record))
        if status == 'r' then
            local line, member = place_in_line(record)
            call('ZADD', line, 0, member)
            queue.stirs = queue.stirs + 1
        else
            local instant = status == 's' and record.available or record.instant
            call('ZADD', PLACES[status], whole(instant), id)
            at_latest(instant)
        end
        if record.expires > 0 and WAITING[status] then
            if not WAITING[source] then call('ZADD', EXPIRY, whole(record.expires), id) end
            if kind ~= 'due' then at_latest(record.expires) end
        end
    end

    -- Put a record that is new here where its status belongs, and tell those who watch.
    function M.enter(record)
        if record.status ~= 'r' or record.leases > 0 or record.failure or record.available ~= record.created then
            call('HSET', STATE, record.id, encode(record))
        end
        if record.status == 'r' then
            local line, member = place_in_line(record)
            call('ZADD', line, 0, member)
        else
            local instant = record.status == 's' and record.available or record.instant
            call('ZADD', PLACES[record.status], whole(instant), record.id)
            at_latest(instant)
        end
        if record.expires > 0 and WAITING[record.status] then
            call('ZADD', EXPIRY, whole(record.expires), record.id)
            at_latest(record.expires)
        end
        tell('published', record)
    end

    -- The sequence of an id that another store made, if it is known here; ``still``: and not for
    -- longer than it is to be.
    function M.known(name, still)
        local entry = call('HGET', IMPORTED, name)
        if not entry then return nil end
        local sequence, ends = unpack_bytes('>I5I8', entry)
        if still and now >= ends and call('HEXISTS', CONTENT, id_of(sequence)) == 0 then return nil end
        return sequence
    end

    M.load, M.decode, M.encode, M.tell, M.records, M.own_line = load, decode, encode, tell, records, own_line
    M.moved, M.STATUSES, M.WAITING = moved, STATUSES, WAITING
    return M
end
