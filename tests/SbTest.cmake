# The functions that register a test. A target per kind builds what that kind needs:
# unit_tests, thread_tests, sim_tests, fuzz_tests, daemons.
foreach(kind unit_tests thread_tests sim_tests fuzz_tests daemons)
  add_custom_target(${kind})
endforeach()
foreach(daemon edge_agent cloud_ingest)
  if(TARGET ${daemon})
    add_dependencies(daemons ${daemon})
  endif()
endforeach()

# Findings go to stderr and end the program; an odd allocation is an error to handle, not a crash.
set(sb_test_environment
  "ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1:strict_string_checks=1"
  "UBSAN_OPTIONS=print_stacktrace=1"
  "TSAN_OPTIONS=suppressions=${CMAKE_CURRENT_LIST_DIR}/lib/tsan.supp"
  "SB_SOURCE_DIR=${PROJECT_SOURCE_DIR}")

# The time limit is for what hangs: a machine that does other things too may take ten times as long
# as a quiet one.
function(sb_test_properties name label)
  math(EXPR limit "900 * ${SB_TIMEOUT_FACTOR}")
  set_tests_properties(${name} PROPERTIES
    LABELS "${label}" SKIP_RETURN_CODE 77 TIMEOUT ${limit}
    ENVIRONMENT "${sb_test_environment}")
endfunction()

# sb_unit_test(name LIBS ... [SOURCES more.c ...] [THREADS] [SERIAL])
#   builds unit/test_<name>.c with cmocka and registers unit.<name>
function(sb_unit_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "THREADS;SERIAL" "" "LIBS;SOURCES")
  foreach(source unit/test_${name}.c ${arg_SOURCES})
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${source}")
      # One test that fails, not a tree that cannot be configured.
      message(WARNING "unit.${name}: ${source} is missing")
      add_test(NAME unit.${name} COMMAND ${CMAKE_COMMAND} -E false)
      sb_test_properties(unit.${name} unit)
      return()
    endif()
  endforeach()
  sb_executable(test_${name} SOURCES unit/test_${name}.c ${arg_SOURCES}
    LIBS ${arg_LIBS} PkgConfig::cmocka)
  set_target_properties(test_${name} PROPERTIES EXCLUDE_FROM_ALL ON)
  target_include_directories(test_${name} PRIVATE "${PROJECT_SOURCE_DIR}")
  add_test(NAME unit.${name} COMMAND test_${name})
  set(labels unit)
  add_dependencies(unit_tests test_${name})
  if(arg_THREADS)
    list(APPEND labels threads)
    add_dependencies(thread_tests test_${name})
  endif()
  sb_test_properties(unit.${name} "${labels}")
  if(arg_SERIAL)
    set_tests_properties(unit.${name} PROPERTIES RUN_SERIAL ON)
  endif()
endfunction()

# sb_sim_test(name TARGET program [ARGS ...])
#   registers sim.<name>, a run of a simulator program made with sb_executable
function(sb_sim_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TARGET" "ARGS")
  add_test(NAME sim.${name} COMMAND ${arg_TARGET} ${arg_ARGS})
  add_dependencies(sim_tests ${arg_TARGET})
  sb_test_properties(sim.${name} sim)
endfunction()

# sb_system_test(name [COST s] [SERIAL])
#   registers system.<name> for system/test_<name>.py; a file of which every case was skipped
#   counts as skipped. COST: what takes longest begins first.
function(sb_system_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "SERIAL" "COST" "")
  add_test(NAME system.${name}
    COMMAND /usr/bin/python3 -m pytest -q -rs --tb=short --color=no -p no:cacheprovider
      "--junitxml=${CMAKE_BINARY_DIR}/pytest/${name}.xml" "test_${name}.py"
    WORKING_DIRECTORY "${CMAKE_CURRENT_LIST_DIR}/system")
  sb_test_properties(system.${name} system)
  set_property(TEST system.${name} APPEND PROPERTY ENVIRONMENT
    "SB_EDGE_AGENT=${CMAKE_BINARY_DIR}/bin/edge_agent"
    "SB_CLOUD_INGEST=${CMAKE_BINARY_DIR}/bin/cloud_ingest")
  set_tests_properties(system.${name} PROPERTIES SKIP_REGULAR_EXPRESSION "\n[0-9]+ skipped in ")
  if(arg_COST)
    set_tests_properties(system.${name} PROPERTIES COST ${arg_COST})
  endif()
  if(arg_SERIAL)
    set_tests_properties(system.${name} PROPERTIES RUN_SERIAL ON)
  endif()
endfunction()

# sb_lint_test(name script [args ...]): a check of the sources, registered as lint.<name>
function(sb_lint_test name)
  add_test(NAME lint.${name} COMMAND ${ARGN})
  sb_test_properties(lint.${name} lint)
endfunction()

# sb_fuzz_test(name LIBS ... CORPUS path ... [MUTATIONS n])
#   builds fuzz/fuzz_<name>.c (LLVMFuzzerTestOneInput) and registers fuzz.<name>: the files of the
#   corpus and changed copies of them. The preset fuzz makes a libFuzzer program of it instead.
function(sb_fuzz_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "MUTATIONS" "LIBS;CORPUS")
  if(NOT arg_MUTATIONS)
    set(arg_MUTATIONS 20000)
  endif()
  if(SB_FUZZER)
    sb_executable(fuzz_${name} SOURCES fuzz/fuzz_${name}.c LIBS ${arg_LIBS})
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    # libFuzzer writes what it finds into the first folder, which is not the one in the tree.
    file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/corpus/${name}")
    add_test(NAME fuzz.${name} COMMAND fuzz_${name} -runs=${arg_MUTATIONS}
      "${CMAKE_BINARY_DIR}/corpus/${name}" ${arg_CORPUS})
  else()
    sb_executable(fuzz_${name} SOURCES fuzz/fuzz_${name}.c fuzz/replay.c LIBS ${arg_LIBS} sb_common)
    add_test(NAME fuzz.${name} COMMAND fuzz_${name} -m ${arg_MUTATIONS} ${arg_CORPUS})
  endif()
  set_target_properties(fuzz_${name} PROPERTIES EXCLUDE_FROM_ALL ON)
  set_tests_properties(fuzz.${name} PROPERTIES WORKING_DIRECTORY "${CMAKE_CURRENT_LIST_DIR}")
  add_dependencies(fuzz_tests fuzz_${name})
  sb_test_properties(fuzz.${name} fuzz)
endfunction()
