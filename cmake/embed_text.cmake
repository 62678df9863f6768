# SPDX-License-Identifier: Apache-2.0
# cmake -DFILE=... -DNAME=... -DHEADER=... -DOUT=... -P embed_text.cmake: a file as the C array NAME,
# which ends with a zero, as HEADER declares it.
file(READ ${FILE} hex HEX)
string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
file(WRITE ${OUT} "#include \"${HEADER}\"\n\nconst char ${NAME}[] = {\n${hex}\n0};\n")
