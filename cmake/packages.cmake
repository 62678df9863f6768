# SPDX-License-Identifier: Apache-2.0
# Every third-party library, found by pkg-config. Their headers are system headers: our warnings
# are for our own code.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(mongoc REQUIRED IMPORTED_TARGET libmongoc-1.0>=1.23)
pkg_check_modules(rdkafka REQUIRED IMPORTED_TARGET rdkafka>=2.0.2)
pkg_check_modules(curl REQUIRED IMPORTED_TARGET libcurl>=7.88)
pkg_check_modules(cjson REQUIRED IMPORTED_TARGET libcjson>=1.7.15)
pkg_check_modules(crypto REQUIRED IMPORTED_TARGET libcrypto>=3.0)
pkg_check_modules(yaml REQUIRED IMPORTED_TARGET yaml-0.1>=0.2.5)
# utf8proc 2.8 calls itself 2.6.0 in its .pc file.
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc>=2.6)
pkg_check_modules(microhttpd REQUIRED IMPORTED_TARGET libmicrohttpd>=0.9.75)
# libmicrohttpd's TLS
pkg_check_modules(gnutls REQUIRED IMPORTED_TARGET gnutls>=3.7)
if(BUILD_TESTING)
    pkg_check_modules(cmocka REQUIRED IMPORTED_TARGET cmocka>=1.1.5)
endif()
