# sb::hardening: empty unless SB_HARDENING. FORTIFY needs optimisation and does not go with the sanitizers.
add_library(sb_hardening INTERFACE)
add_library(sb::hardening ALIAS sb_hardening)
if(SB_HARDENING)
  if(SB_SANITIZE)
    message(FATAL_ERROR "SB_HARDENING and SB_SANITIZE exclude each other")
  endif()
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
  target_compile_options(sb_hardening INTERFACE
    -fstack-protector-strong -fstack-clash-protection
    $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE$<SEMICOLON>-D_FORTIFY_SOURCE=2>)
  target_link_options(sb_hardening INTERFACE
    $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie> -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
endif()
