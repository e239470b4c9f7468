// The binary protocol's way through the machine.
#pragma once

#include "states.h"

struct conn;

// A binary request, if its header is in the buffer.
step try_read_binary(conn& c);

// The part of a binary request that conn_nread was reading is whole.
step complete_nread_binary(conn& c);
