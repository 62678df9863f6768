# SPDX-License-Identifier: Apache-2.0
# cmake -DFOLDER=... -DOUT=... -P embed.cmake: the files of a folder as the C table of
# agent/dashboard/dashboard.h, each with its content type and an entity tag made of its content.
set(types html text/html css text/css js text/javascript svg image/svg+xml)
file(GLOB files RELATIVE ${FOLDER} ${FOLDER}/*.html ${FOLDER}/*.css ${FOLDER}/*.js ${FOLDER}/*.svg)
list(SORT files)
set(arrays "")
set(table "")
set(index 0)
foreach(name ${files})
    file(READ ${FOLDER}/${name} hex HEX)
    file(SHA256 ${FOLDER}/${name} sha256)
    string(SUBSTRING ${sha256} 0 16 tag)
    string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
    get_filename_component(extension ${name} LAST_EXT)
    string(SUBSTRING ${extension} 1 -1 extension)
    list(FIND types ${extension} at)
    math(EXPR at "${at} + 1")
    list(GET types ${at} type)
    string(APPEND arrays "static const unsigned char file_${index}[] = {\n${hex}\n};\n")
    string(APPEND table "    {\"${name}\", \"${type}; charset=utf-8\", \"\\\"${tag}\\\"\", file_${index}, "
                        "sizeof file_${index}},\n")
    math(EXPR index "${index} + 1")
endforeach()
file(WRITE ${OUT}.new "/* Made from ${FOLDER} by cmake/embed.cmake. */
#include \"agent/dashboard/dashboard.h\"

${arrays}
const struct dashboard_file dashboard_files[] = {
${table}};
const size_t dashboard_file_count = ${index};
")
file(COPY_FILE ${OUT}.new ${OUT} ONLY_IF_DIFFERENT)
file(REMOVE ${OUT}.new)
