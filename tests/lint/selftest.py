# SPDX-License-Identifier: Apache-2.0
"""The checks find what they are there for, and nothing in clean files."""
import os
import sys
import tempfile
import unittest

import banned
import common
import functions
import includes
import links
import words

HEAD = "/* SPDX-License-Identifier: Apache-2.0 */\n"


class Lint(unittest.TestCase):
    def found(self, module, **files):
        """Messages about files whose names are given as folder__file_c."""
        with tempfile.TemporaryDirectory() as root:
            for name, text in files.items():
                path = os.path.join(root, name.replace("__", "/").replace("_DOT_", "."))
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
            return [f"{path}:{line}: {message}" for path, line, message in module.check(root)]

    def test_allows_the_edges_of_the_architecture(self):
        self.assertEqual([], self.found(
            includes, base__a_DOT_h=HEAD, cdc__b_DOT_h=HEAD + '#include "base/a.h"\n',
            agent__c_DOT_c=HEAD + '#include "cdc/b.h"\n#include "base/a.h"\n#include <x/y.h>\n',
            tests__support__d_DOT_h=HEAD,
            tests__unit__e_DOT_c=HEAD + '#include "support/d.h"\n#include "cdc/b.h"\n'))

    def test_finds_forbidden_edges(self):
        files = {"base__a_DOT_h": HEAD + '#include "cdc/b.h"\n', "sinks__b_DOT_h": HEAD,
                 "cdc__b_DOT_h": HEAD + '#include "sinks/b.h"\n',
                 "state__b_DOT_c": HEAD + '#include "tests/x.h"\n#include "b.h"\n'}
        self.assertEqual(4, len(self.found(includes, **files)))

    def test_measures_functions(self):
        body = "{\n" + "    x();\n" * 60 + "}\n"
        text = HEAD + "static void f(void)\n" + body
        self.assertEqual(["base/a.c:2: f() has 61 lines, over 60"],
                         self.found(functions, base__a_DOT_c=text))
        reasoned = HEAD + "/* long: a table */\nstatic void f(void)\n" + body
        self.assertEqual([], self.found(functions, base__a_DOT_c=reasoned))
        fits = HEAD + "static void f(void)\n" + body.replace("    x();\n", "", 1)
        self.assertEqual([], self.found(functions, base__a_DOT_c=fits))

    def test_counts_parameters(self):
        five = "int f(int a, int (*b)(int, int), const char *c,\n      int d[3], void *e, ...)"
        six = "static int g(int a, int b, int c, int d, int e, int f)"
        self.assertEqual(5, functions.parameter_count(five))
        self.assertEqual(6, functions.parameter_count(six))
        self.assertEqual(0, functions.parameter_count("int main(void)"))
        self.assertEqual(1, functions.parameter_count("bool h(int a, struct err *err)"))
        found = self.found(functions, base__a_DOT_c=HEAD + six + "\n{\n}\n")
        self.assertEqual(["base/a.c:2: g() has 6 parameters, over 5"], found)

    def test_measures_files(self):
        found = self.found(functions, base__a_DOT_c=HEAD + "int x;\n" * 600)
        self.assertEqual(["base/a.c:601: the file has 601 lines, over 600"], found)

    def test_finds_banned_calls(self):
        text = HEAD + "x = atoi(y);\nexit(1);\nsleep(1);\n"
        self.assertEqual(2, len(self.found(banned, base__a_DOT_c=text)))
        self.assertEqual(3, len(self.found(banned, tests__a_DOT_c=text)))
        self.assertEqual(1, len(self.found(banned, agent__main_DOT_c=text)))

    def test_does_not_find_calls_that_are_none(self):
        text = HEAD + '/* strcpy(a) */ "rand()"; ops.rand(); p->exit(); my_strcpy(); // gets()\n'
        self.assertEqual([], self.found(banned, base__a_DOT_c=text))

    def test_wants_the_licence_first(self):
        spdx = "# SPDX-License-Identifier: Apache-2.0\n"
        self.assertEqual(2, len(self.found(banned, base__a_DOT_c="int x;\n" + HEAD,
                                           scripts__a_DOT_py="x = 1\n")))
        self.assertEqual([], self.found(banned, scripts__a_DOT_py="#!/usr/bin/env python3\n" + spdx,
                                        scripts__b_DOT_py=spdx, scripts____init___DOT_py=""))

    def test_follows_links(self):
        files = {"docs__b_DOT_md": "# A `b`: c, [d](a.md)\n```\n# no heading\n```\n", "docs__c__d_DOT_md": "x\n"}
        fine = "[x](b.md) [x](b.md#a-b-c-d) [x](c/) [x](#here) [x](https://a.b/c) `[x](none.md)`\n## Here\n"
        self.assertEqual([], self.found(links, docs__a_DOT_md=fine, **files))
        wrong = "[x](none.md)\n[x](b.md#no-heading)\n[x](#there)\n[x](none/)\n"
        self.assertEqual(["docs/a.md:1: none.md: there is no docs/none.md",
                          "docs/a.md:2: b.md#no-heading: docs/b.md has no such heading",
                          "docs/a.md:3: #there: docs/a.md has no such heading",
                          "docs/a.md:4: none/: there is no docs/none"],
                         self.found(links, docs__a_DOT_md=wrong, **files))

    def test_finds_paths_of_one_machine(self):
        text = "cd " + words.PATHS[0] + "x\nPATH=" + words.PATHS[1] + "bin\n"
        self.assertEqual(2, len(self.found(words, docs__a_DOT_md=text)))
        fine = "net" + words.PATHS[0] + "x\n"
        self.assertEqual([], self.found(words, docs__a_DOT_md=fine))

    def test_wants_a_reason_for_open_ends(self):
        mark = "TO" + "DO"
        text = f"/* {mark} */\n/* {mark}: fix */\n/* {mark}(ann): wait for curl 8 */\n"
        self.assertEqual(2, len(self.found(words, base__a_DOT_c=text)))

    def test_keeps_line_numbers_when_it_strips(self):
        text = 'a /* b\nc */ "d\\"e" \'"\' // f\ng'
        self.assertEqual(3, len(common.strip_c(text).splitlines()))
        self.assertEqual(["a", '"', '"', "'", "'", "g"], common.strip_c(text).split())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
