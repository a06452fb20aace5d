-- What a task adds to the load, beside its bytes: 2^33 (keys.rs).
local TASK = 8589934592

