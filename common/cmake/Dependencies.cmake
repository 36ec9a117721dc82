# Finds every library once and ends with one message naming all that is missing.
# Imported targets: eclipse-paho-mqtt-c::paho-mqtt3as, PkgConfig::cjson, PkgConfig::inih,
# SQLite::SQLite3, OpenSSL::SSL, OpenSSL::Crypto, ZLIB::ZLIB, Threads::Threads, PkgConfig::cmocka.
set(sb_missing "")

find_package(PkgConfig QUIET)
if(NOT PKG_CONFIG_FOUND)
  message(FATAL_ERROR "pkg-config is missing.\n  Debian: apt-get install pkg-config")
endif()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

find_package(eclipse-paho-mqtt-c CONFIG QUIET)
if(NOT TARGET eclipse-paho-mqtt-c::paho-mqtt3as)
  list(APPEND sb_missing libpaho-mqtt-dev)
endif()

pkg_check_modules(cjson QUIET IMPORTED_TARGET libcjson)
if(NOT cjson_FOUND)
  list(APPEND sb_missing libcjson-dev)
endif()

pkg_check_modules(inih QUIET IMPORTED_TARGET inih)
if(NOT inih_FOUND)
  list(APPEND sb_missing libinih-dev)
endif()

find_package(SQLite3 3.37 QUIET)
if(NOT SQLite3_FOUND)
  list(APPEND sb_missing libsqlite3-dev)
endif()

find_package(OpenSSL 3.0 QUIET)
if(NOT OPENSSL_FOUND)
  list(APPEND sb_missing libssl-dev)
endif()

find_package(ZLIB QUIET)
if(NOT ZLIB_FOUND)
  list(APPEND sb_missing zlib1g-dev)
endif()

if(BUILD_TESTING)
  pkg_check_modules(cmocka QUIET IMPORTED_TARGET cmocka)
  if(NOT cmocka_FOUND)
    list(APPEND sb_missing libcmocka-dev)
  endif()
endif()

if(sb_missing)
  list(JOIN sb_missing " " sb_missing_line)
  message(FATAL_ERROR
    "Libraries are missing.\n"
    "  Debian: apt-get install ${sb_missing_line}\n"
    "(cmocka is needed for the tests only: -DBUILD_TESTING=OFF does without.)")
endif()
