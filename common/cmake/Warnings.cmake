# sb::warnings: applied PRIVATE to our own targets, never to a dependency.
# -Wswitch without -Wswitch-enum: a switch over an enum has no default, so a new member is found by the compiler.
add_library(sb_warnings INTERFACE)
add_library(sb::warnings ALIAS sb_warnings)
target_compile_options(sb_warnings INTERFACE
  -Wall -Wextra -Wpedantic
  -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
  -Wformat=2 -Wwrite-strings -Wpointer-arith -Wcast-qual -Wundef -Wvla -Wimplicit-fallthrough
  $<$<BOOL:${SB_WERROR}>:-Werror>)
