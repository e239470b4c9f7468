// What a pool of redis does in its own way. New in this chapter.
#pragma once

#include "nc_message.h"

extern const proto redis_proto;

// What a connection to a server begins with: the password, and which database. What clients ask waits until both are
// answered. If they are refused the connection ends, or it would go to a database that it is not meant for.
void redis_post_connect(context& ctx, conn& s);

// One of the two is answered.
void redis_greeted(context& ctx, conn& s, const msg& answer);
