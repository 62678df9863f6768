# SPDX-License-Identifier: Apache-2.0
# Language level, warnings and sanitizers, as one interface target that every library links.
option(VECTAIL_WERROR "Treat warnings as errors" OFF)
option(VECTAIL_FUZZ "Build the libFuzzer targets (clang only)" OFF)
set(VECTAIL_SANITIZE "" CACHE STRING "Sanitizers, e.g. address,undefined or thread")

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(vectail_options INTERFACE)
target_compile_definitions(vectail_options INTERFACE _GNU_SOURCE
                           VECTAIL_VERSION="${PROJECT_VERSION}")
target_include_directories(vectail_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(vectail_options INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes
    -Wmissing-prototypes -Wcast-qual -Wwrite-strings -Wformat=2 -Wvla -Wundef
    -fno-omit-frame-pointer -fstack-protector-strong
    -UNDEBUG) # asserts stay on in every build: they are for programming errors only
if(VECTAIL_WERROR)
    target_compile_options(vectail_options INTERFACE -Werror)
endif()
if(VECTAIL_SANITIZE)
    target_compile_options(vectail_options INTERFACE -fsanitize=${VECTAIL_SANITIZE})
    target_link_options(vectail_options INTERFACE -fsanitize=${VECTAIL_SANITIZE})
endif()

# vectail_library(NAME PACKAGES...): a static library of every .c file of the calling folder.
function(vectail_library name)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC vectail_options ${ARGN})
endfunction()
