// Which protocol a connection speaks: the command line may prescribe it (-B), the connection knows it.
#pragma once

enum class binding_protocol : unsigned char {
  negotiating,  // what the client begins with
  ascii,
  binary,
};
