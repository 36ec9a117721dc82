# How a target of ours is made, so that no folder repeats the flags.

# sb_flags(target): language level and flag sets of every target.
function(sb_flags target)
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
  target_link_libraries(${target} PRIVATE sb::warnings sb::sanitize sb::hardening)
endfunction()

# The root is the only folder that headers are looked for in: "common/link.h" is ours, <link.h> and
# <limits.h> stay the system's.

# sb_library(name SOURCES ... LIBS ...): a static library; LIBS reach those who link it.
# Without sources it is a name to hang the LIBS on.
function(sb_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBS")
  if(arg_SOURCES)
    add_library(${name} STATIC ${arg_SOURCES})
    target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}")
    target_link_libraries(${name} PUBLIC ${arg_LIBS})
    sb_flags(${name})
  else()
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE "${PROJECT_SOURCE_DIR}")
    target_link_libraries(${name} INTERFACE ${arg_LIBS})
  endif()
endfunction()

# sb_switched_library(name OF library LIBS ...): the same sources once more, with SB_RULE_SWITCHES
# (common/rules.h). For the simulator alone; built only where something links it.
function(sb_switched_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "OF" "SOURCES;LIBS")
  get_target_property(type ${arg_OF} TYPE)
  if(type STREQUAL INTERFACE_LIBRARY)
    sb_library(${name} LIBS ${arg_LIBS})
    return()
  endif()
  get_target_property(folder ${arg_OF} SOURCE_DIR)
  get_target_property(sources ${arg_OF} SOURCES)
  list(TRANSFORM sources PREPEND "${folder}/")
  sb_library(${name} SOURCES ${sources} ${arg_SOURCES} LIBS ${arg_LIBS})
  set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL ON)
  target_compile_definitions(${name} PUBLIC SB_RULE_SWITCHES
    $<TARGET_PROPERTY:${arg_OF},INTERFACE_COMPILE_DEFINITIONS>)
endfunction()

# sb_executable(name SOURCES ... LIBS ...)
function(sb_executable name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBS")
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LIBS})
  sb_flags(${name})
endfunction()

# sb_daemon(name component SOURCES ... LIBS ...): a program that is installed; built as bin/<name>.
function(sb_daemon name component)
  sb_executable(${name} ${ARGN})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
  install(TARGETS ${name} RUNTIME DESTINATION "${CMAKE_INSTALL_SBINDIR}" COMPONENT ${component})
endfunction()
