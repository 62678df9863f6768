# SPDX-License-Identifier: Apache-2.0
# Files as C arrays.
#
# cmake -DFILE=... -DNAME=... -DHEADER=... -DOUT=... -P embed.cmake: a file as the array NAME, which ends
# with a zero, as HEADER declares it.
#
# cmake -DFOLDER=... -DOUT=... -P embed.cmake: the files of a folder as the table of
# agent/dashboard/dashboard.h, each with its content type and an entity tag made of its content.

# The bytes of a file as numbers with a comma behind each.
function(numbers_of file out)
    file(READ ${file} hex HEX)
    string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
    set(${out} "${hex}" PARENT_SCOPE)
endfunction()

function(text_of_file out)
    numbers_of(${FILE} numbers)
    set(${out} "#include \"${HEADER}\"\n\nconst char ${NAME}[] = {\n${numbers}\n0};\n" PARENT_SCOPE)
endfunction()

function(table_of_folder out)
    set(types html text/html css text/css js text/javascript svg image/svg+xml)
    file(GLOB files RELATIVE ${FOLDER} ${FOLDER}/*.html ${FOLDER}/*.css ${FOLDER}/*.js ${FOLDER}/*.svg)
    list(SORT files)
    set(index 0)
    foreach(name ${files})
        numbers_of(${FOLDER}/${name} numbers)
        file(SHA256 ${FOLDER}/${name} sha256)
        string(SUBSTRING ${sha256} 0 16 tag)
        get_filename_component(extension ${name} LAST_EXT)
        string(SUBSTRING ${extension} 1 -1 extension)
        list(FIND types ${extension} at)
        math(EXPR at "${at} + 1")
        list(GET types ${at} type)
        string(APPEND arrays "static const unsigned char file_${index}[] = {\n${numbers}\n};\n")
        string(APPEND table "    {\"${name}\", \"${type}; charset=utf-8\", \"\\\"${tag}\\\"\", "
                            "file_${index}, sizeof file_${index}},\n")
        math(EXPR index "${index} + 1")
    endforeach()
    set(${out} "#include \"agent/dashboard/dashboard.h\"

${arrays}
const struct dashboard_file dashboard_files[] = {
${table}};
const size_t dashboard_file_count = ${index};
" PARENT_SCOPE)
endfunction()

if(DEFINED FILE)
    text_of_file(text)
else()
    table_of_folder(text)
endif()
file(WRITE ${OUT}.new "/* Made by cmake/embed.cmake. */\n${text}")
file(COPY_FILE ${OUT}.new ${OUT} ONLY_IF_DIFFERENT)
file(REMOVE ${OUT}.new)
