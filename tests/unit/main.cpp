// Runs every tests/unit/*_test.cpp: `build/tests/unit/unit --help` says how to choose among them.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
