/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/document.h"

#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "cdc/item.h"
#include "support/test.h"

static bson_t *parse(const char *json)
{
    bson_error_t error;
    bson_t *doc = bson_new_from_json((const uint8_t *)json, -1, &error);
    if (!doc)
        fail_msg("%s: %s", json, error.message);
    return doc;
}

static const char *const author[] = {"author.name"};
static const char *const created[] = {"start", "created"};
static const char *const rest[] = {"meta"};
static const struct shape_metadata mapped[] = {
    {"author", author, 1}, {"created", created, 2}, {"*", rest, 1}};
static const char *const text_fields[] = {"title", "body.text"};

static struct shape_options plain_options(void)
{
    return (struct shape_options){.database = "d",
                                  .collection = "c",
                                  .id_field = "_id",
                                  .metadata = mapped,
                                  .metadata_count = 3,
                                  .text_fields = text_fields,
                                  .text_field_count = 2};
}

static struct shape *shape_of(const struct shape_options *options)
{
    struct shape *shape = NULL;
    struct err err;
    if (!shape_new(options, &shape, &err))
        fail_msg("%s", err.text);
    return shape;
}

/* --- text --- */

static void assert_text(const char *json, const char *expected)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(10000);
    struct err err;
    bson_t *doc = parse(json);
    if (!document_text(doc, text_fields, 2, &text, &err))
        fail_msg("%s: %s", json, err.text);
    assert_string_equal(buf_str(&text), expected);
    bson_destroy(doc);
}

static void assert_no_text(const char *json)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(10000);
    struct err err = {0};
    bson_t *doc = parse(json);
    if (document_text(doc, text_fields, 2, &text, &err))
        fail_msg("%s: '%s'", json, buf_str(&text));
    assert_int_equal(err.action, ERR_REJECT);
    assert_int_equal(err.domain, ERR_DATA);
    assert_non_null(strstr(err.text, "title"));
    bson_destroy(doc);
}

static void fields_are_joined_by_a_blank_line_in_the_order_of_the_configuration(void **state)
{
    (void)state;
    assert_text("{\"body\":{\"text\":\"b\"},\"title\":\"a\"}", "a\n\nb");
    assert_text("{\"title\":\"a\"}", "a");
    assert_text("{\"body\":{\"text\":\"b\"}}", "b");
    assert_text("{\"title\":\"\",\"body\":{\"text\":\"b\"}}", "b");
    assert_text("{\"title\":null,\"body\":5}", "");
    assert_text("{}", "");
}

static void lists_of_strings_are_joined_by_line_ends(void **state)
{
    (void)state;
    assert_text("{\"title\":[\"a\",\"b\"],\"body\":{\"text\":[\"c\",\"\",\"d\"]}}", "a\nb\n\nc\nd");
    assert_text("{\"title\":[],\"body\":{\"text\":\"b\"}}", "b");
    assert_text("{\"title\":[null,\"a\",null,\"b\"]}", "a\nb");
    assert_text("{\"title\":\"x\",\"body\":{\"text\":[\"\",\"y\",\"z\"]}}", "x\n\ny\nz");
}

static void scalars_are_written_as_a_person_would(void **state)
{
    (void)state;
    assert_text("{\"title\":[1,{\"$numberLong\":\"-9223372036854775808\"},0.1,1e100,true,false]}",
                "1\n-9223372036854775808\n0.1\n1e+100\ntrue\nfalse");
    assert_text("{\"title\":{\"$numberDecimal\":\"0.10\"}}", "0.10");
    assert_text("{\"title\":{\"$date\":{\"$numberLong\":\"1577934245678\"}}}",
                "2020-01-02T03:04:05.678Z");
}

static void what_nobody_wrote_is_refused(void **state)
{
    (void)state;
    assert_no_text("{\"title\":{\"a\":1}}");
    assert_no_text("{\"title\":[[\"a\"]]}");
    assert_no_text("{\"title\":[\"a\",{\"b\":1}]}");
    assert_no_text("{\"title\":{\"$oid\":\"0123456789abcdef01234567\"}}");
    assert_no_text("{\"title\":{\"$binary\":{\"base64\":\"AA==\",\"subType\":\"00\"}}}");
    assert_no_text("{\"title\":{\"$numberDouble\":\"NaN\"}}");
    assert_no_text("{\"title\":{\"$numberDouble\":\"-Infinity\"}}");
}

static void what_stands_for_an_image_or_a_file_is_no_text(void **state)
{
    (void)state;
    static const char *const no_texts[] = {
        "img:attachments/1.png",
        "IMG:x",
        " \n img:x",
        "data:image/png;base64,iVBORw0KGgo=",
        "data:image/svg+xml,%3Csvg%3E",
        "DATA:Application/PDF;Base64,JVBERi0=",
        "data:;base64,AAAA",
        "data:audio/wav;x=1;base64,UklGRg==",
    };
    for (size_t i = 0; i < ARRAY_LEN(no_texts); i++) {
        if (!document_text_problem(no_texts[i], strlen(no_texts[i])))
            fail_msg("'%s' counts as text", no_texts[i]);
    }
    static const char *const texts[] = {
        "",
        " ",
        "img",
        "an img:x inside",
        "image: a duck",
        "data: image/png;base64, and so on",
        "data:text/plain,hello",
        "data:",
        "data:base64,",
        "database64,",
        "see data:image/png;base64,AAAA",
        "data:a b;base64,AAAA",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const char *problem = document_text_problem(texts[i], strlen(texts[i]));
        if (problem)
            fail_msg("'%s' holds %s", texts[i], problem);
    }
    assert_null(document_text_problem("img:", 3)); /* not one byte beyond the size */
    assert_null(document_text_problem("data:;base64,", 12));
}

static void a_field_that_holds_no_text_is_named_with_what_it_holds(void **state)
{
    (void)state;
    static const char *const docs[][2] = {
        {"{\"title\":\"ok\",\"body\":{\"text\":\"img:1\"}}", "'body.text' holds a reference"},
        {"{\"title\":[\"a\",\"data:image/png;base64,AA\"]}", "'title' holds a file as a data URL"},
        {"{\"title\":{\"$binary\":{\"base64\":\"AA==\",\"subType\":\"00\"}}}",
         "'title' holds binary data"},
        {"{\"title\":[{\"$binary\":{\"base64\":\"AA==\",\"subType\":\"05\"}}]}",
         "'title' holds binary data"},
        {"{\"title\":{\"a\":1}}", "'title' holds something that is no text"},
    };
    for (size_t i = 0; i < ARRAY_LEN(docs); i++) {
        CLEANUP(buf_fini) struct buf text = BUF_INIT(10000);
        struct err err = {0};
        bson_t *doc = parse(docs[i][0]);
        assert_false(document_text(doc, text_fields, 2, &text, &err));
        assert_int_equal(err.action, ERR_REJECT);
        if (!strstr(err.text, docs[i][1]))
            fail_msg("%s: %s", docs[i][0], err.text);
        bson_destroy(doc);
    }
}

static void the_first_field_that_is_foreign_to_text_is_found(void **state)
{
    (void)state;
    static const char *const docs[][3] = {
        {"{\"title\":\"ok\",\"body\":{\"text\":\"img:1\"}}", "body.text", "a reference"},
        {"{\"title\":[1,\"a\",\"img:1\"]}", "title", "a reference"},
        {"{\"title\":{\"$binary\":{\"base64\":\"AA==\",\"subType\":\"00\"}}}", "title", "binary"},
        {"{\"title\":[{\"$binary\":{\"base64\":\"AA==\",\"subType\":\"00\"}},\"a\"]}", "title",
         "binary"},
        {"{\"title\":{\"a\":1},\"body\":{\"text\":[\"x\",5,null]},\"other\":\"img:\"}", NULL, NULL},
        {"{}", NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(docs); i++) {
        const char *problem = NULL;
        bson_t *doc = parse(docs[i][0]);
        const char *field = document_foreign_field(doc, text_fields, 2, &problem);
        if (!docs[i][1]) {
            assert_null(field);
        } else {
            assert_non_null(field);
            assert_string_equal(field, docs[i][1]);
            assert_non_null(strstr(problem, docs[i][2]));
        }
        bson_destroy(doc);
    }
}

static void a_text_larger_than_its_buffer_is_refused(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf text = BUF_INIT(5);
    struct err err = {0};
    bson_t *doc = parse("{\"title\":\"123456\"}");
    assert_false(document_text(doc, text_fields, 2, &text, &err));
    assert_int_equal(err.action, ERR_REJECT);
    bson_destroy(doc);
}

/* --- metadata --- */

static const char *metadata_of(const struct shape *shape, const char *json, struct arena *arena)
{
    struct field *fields;
    size_t count;
    CLEANUP(buf_fini) struct buf text = BUF_INIT(100000);
    bson_t *doc = parse(json);
    shape_read_metadata(shape, doc, arena, &fields, &count);
    for (size_t i = 0; i < count; i++) {
        buf_printf(&text, "%s%s=", i > 0 ? " " : "", fields[i].name);
        json_write_value(&text, &fields[i].value);
    }
    bson_destroy(doc);
    return arena_strdup(arena, buf_str(&text));
}

static void assert_metadata(const char *json, const char *expected)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    struct shape_options options = plain_options();
    CLEANUP(shape_freep) struct shape *shape = shape_of(&options);
    assert_string_equal(metadata_of(shape, json, arena), expected);
}

static void metadata_is_sorted_by_name_and_nothing_is_left_out_silently(void **state)
{
    (void)state;
    assert_metadata("{\"meta\":{\"z\":1,\"b\":\"x\"},\"author\":{\"name\":\"n\"},\"start\":5}",
                    "author=\"n\" b=\"x\" created=5 z=1");
    assert_metadata("{}", "");
    assert_metadata("{\"author\":{\"name\":null},\"meta\":5}", "");
}

static void the_first_path_with_a_value_counts(void **state)
{
    (void)state;
    assert_metadata("{\"start\":1,\"created\":2}", "created=1");
    assert_metadata("{\"start\":null,\"created\":2}", "created=2");
    assert_metadata("{\"created\":2}", "created=2");
    assert_metadata("{\"start\":{\"$numberDouble\":\"NaN\"},\"created\":2}", "created=2");
    assert_metadata("{\"start\":false,\"created\":2}", "created=false");
    assert_metadata("{\"start\":\"\",\"created\":2}", "created=\"\"");
}

static void each_type_has_its_form(void **state)
{
    (void)state;
    assert_metadata("{\"meta\":{\"date\":{\"$date\":{\"$numberLong\":\"-1\"}},"
                    "\"dec\":{\"$numberDecimal\":\"0.10\"},\"dbl\":0.5,\"inf\":{\"$numberDouble\":"
                    "\"Infinity\"},\"int\":7,\"oid\":{\"$oid\":\"0123456789abcdef01234567\"},"
                    "\"none\":null,\"yes\":true}}",
                    "date=\"1969-12-31T23:59:59.999Z\" dbl=0.5 dec=\"0.10\" int=7 "
                    "oid=\"0123456789abcdef01234567\" yes=true");
    assert_metadata("{\"meta\":{\"bin\":{\"$binary\":{\"base64\":\"AP8=\",\"subType\":\"00\"}}}}",
                    "bin=\"{\\\"$binary\\\":{\\\"base64\\\":\\\"AP8=\\\",\\\"subType\\\":"
                    "\\\"00\\\"}}\"");
}

static void lists_and_documents_mapped_by_name_are_relaxed_json(void **state)
{
    (void)state;
    assert_metadata("{\"start\":[1,{\"$numberLong\":\"2\"},{\"$date\":{\"$numberLong\":\"0\"}}]}",
                    "created=\"[ 1, 2, { \\\"$date\\\" : \\\"1970-01-01T00:00:00Z\\\" } ]\"");
    assert_metadata("{\"start\":{\"a\":{\"$numberLong\":\"1\"}}}", "created=\"{ \\\"a\\\" : 1 }\"");
    assert_metadata("{\"start\":[]}", "created=\"[  ]\"");
}

static void the_rest_is_scalars_under_names_that_are_free(void **state)
{
    (void)state;
    assert_metadata("{\"meta\":{\"a\":1,\"list\":[1],\"sub\":{},\"source_id\":\"x\",\"chunk_id\":1,"
                    "\"family\":1,\"version\":1,\"config_fp\":1,\"content_fp\":1,"
                    "\"chroma:document\":1,\"\":1,\"$x\":1,\"#y\":1}}",
                    "a=1");
}

static void a_mapped_name_goes_before_the_rest(void **state)
{
    (void)state;
    assert_metadata("{\"author\":{\"name\":\"n\"},\"meta\":{\"author\":\"other\",\"b\":1}}",
                    "author=\"n\" b=1");
    assert_metadata("{\"meta\":{\"author\":\"other\"}}", "author=\"other\"");
}

static void a_hundred_thousand_names_are_read_in_a_moment(void **state)
{
    (void)state;
    CLEANUP(arena_freep) struct arena *arena = arena_new(256 * MIB);
    struct shape_options options = plain_options();
    CLEANUP(shape_freep) struct shape *shape = shape_of(&options);
    bson_t doc = BSON_INITIALIZER, meta;
    struct field *fields;
    size_t count;
    bson_append_document_begin(&doc, "meta", -1, &meta);
    for (int i = 0; i < 100000; i++) {
        char name[16];
        snprintf(name, sizeof name, "k%d", i);
        bson_append_int32(&meta, name, -1, i);
    }
    bson_append_document_end(&doc, &meta);
    shape_read_metadata(shape, &doc, arena, &fields, &count);
    assert_int_equal(count, 100000);
    bson_destroy(&doc);
}

static void names_that_are_not_utf8_and_values_with_a_nul_are_mended_not_cut(void **state)
{
    (void)state;
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    struct shape_options options = plain_options();
    CLEANUP(shape_freep) struct shape *shape = shape_of(&options);
    bson_t doc = BSON_INITIALIZER, meta;
    struct field *fields;
    size_t count;
    bson_append_document_begin(&doc, "meta", -1, &meta);
    bson_append_utf8(&meta, "a\xff", -1, "before\0behind", 13);
    bson_append_document_end(&doc, &meta);
    shape_read_metadata(shape, &doc, arena, &fields, &count);
    assert_int_equal(count, 1);
    assert_string_equal(fields[0].name, "a\xef\xbf\xbd");
    assert_string_equal(fields[0].value.as.string, "before\xef\xbf\xbd"
                                                   "behind");
    bson_destroy(&doc);
}

/* --- source id and projection --- */

static void assert_source_id(const char *id_field, const char *json, const char *expected)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    struct shape_options options = plain_options();
    options.id_field = id_field;
    CLEANUP(shape_freep) struct shape *shape = shape_of(&options);
    struct err err = {0};
    const char *id = NULL;
    bson_t *doc = parse(json);
    bool ok = shape_source_id(shape, doc, arena, &id, &err);
    assert_true(ok == (expected != NULL));
    if (ok)
        assert_string_equal(id, expected);
    else
        assert_int_equal(err.action, ERR_REJECT);
    bson_destroy(doc);
}

static void the_source_id_is_the_id_field(void **state)
{
    (void)state;
    assert_source_id("_id", "{\"_id\":\"x\"}", "x");
    assert_source_id("a.b", "{\"a\":{\"b\":5}}", "{\"$numberLong\":\"5\"}");
    assert_source_id("_id", "{\"_id\":{\"a\":1}}", "{\"a\":{\"$numberLong\":\"1\"}}");
    assert_source_id("_id", "{}", NULL);
    assert_source_id("_id", "{\"_id\":null}", NULL);
    assert_source_id("a", "{\"a\":[\"x\"]}", NULL);
    assert_source_id("a.b", "{\"a\":[{\"b\":1}]}", NULL);
}

static void a_source_id_that_is_too_long_is_refused(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf json = BUF_INIT(2 * LIMIT_KEY_SIZE);
    buf_puts(&json, "{\"_id\":\"");
    for (size_t i = 0; i <= LIMIT_KEY_SIZE; i++)
        buf_putc(&json, 'x');
    buf_puts(&json, "\"}");
    assert_source_id("_id", buf_str(&json), NULL);
}

static void a_shape_keeps_only_what_the_family_uses(void **state)
{
    (void)state;
    struct shape_options options = plain_options();
    options.filter = "{\"deleted\":{\"$ne\":true}}";
    CLEANUP(shape_freep) struct shape *shape = shape_of(&options);
    bson_t *doc =
        parse("{\"_id\":1,\"title\":\"t\",\"junk\":1,\"body\":{\"text\":\"b\",\"x\":1},"
              "\"deleted\":false,\"meta\":{\"a\":1},\"author\":{\"name\":\"n\",\"age\":1}}");
    bson_t *expected =
        parse("{\"_id\":1,\"title\":\"t\",\"body\":{\"text\":\"b\"},\"deleted\":false,"
              "\"meta\":{\"a\":1},\"author\":{\"name\":\"n\"}}");
    CLEANUP(buf_fini) struct buf value = BUF_INIT(1000);
    bson_t *kept = NULL;
    struct err err;
    assert_true(shape_encode(shape, doc, &value, &err));
    assert_true(item_decode_doc(value.data, value.size, &kept, &err));
    assert_true(bson_equal(kept, expected));
    assert_true(shape_matches(shape, kept));
    assert_non_null(shape_filter(shape));
    assert_true(bson_has_field(shape_projection(shape), "deleted"));
    bson_destroy(kept);
    bson_destroy(doc);
    bson_destroy(expected);
}

static void a_bad_filter_makes_no_shape(void **state)
{
    (void)state;
    struct shape_options options = plain_options();
    struct shape *shape;
    struct err err;
    options.filter = "{\"$where\":1}";
    assert_false(shape_new(&options, &shape, &err));
    assert_int_equal(err.domain, ERR_CONFIG);
}

/* --- fingerprints --- */

static bool same_shape_fp(const struct shape_options *a, const struct shape_options *b)
{
    CLEANUP(shape_freep) struct shape *x = shape_of(a);
    CLEANUP(shape_freep) struct shape *y = shape_of(b);
    return strcmp(shape_fp(x), shape_fp(y)) == 0;
}

static void a_family_fingerprint_does_not_depend_on_the_order_of_the_mapping(void **state)
{
    (void)state;
    static const struct shape_metadata turned[] = {
        {"*", rest, 1}, {"created", created, 2}, {"author", author, 1}};
    static const char *const turned_text[] = {"body.text", "title", "title"};
    struct shape_options a = plain_options(), b = plain_options();
    b.metadata = turned;
    b.text_fields = turned_text;
    b.text_field_count = 3;
    assert_true(same_shape_fp(&a, &b));
}

static void a_family_fingerprint_covers_what_decides_an_item(void **state)
{
    (void)state;
    static const char *const swapped[] = {"created", "start"};
    static const struct shape_metadata other[] = {
        {"author", author, 1}, {"created", swapped, 2}, {"*", rest, 1}};
    struct shape_options a = plain_options(), b = plain_options();
    b.database = "e";
    assert_false(same_shape_fp(&a, &b));
    b = plain_options();
    b.collection = "e";
    assert_false(same_shape_fp(&a, &b));
    b = plain_options();
    b.filter = "{\"a\":1}";
    assert_false(same_shape_fp(&a, &b));
    b = plain_options();
    b.id_field = "a";
    assert_false(same_shape_fp(&a, &b));
    b = plain_options();
    b.metadata = other;
    assert_false(same_shape_fp(&a, &b));
    b = plain_options();
    b.metadata_count = 2;
    assert_false(same_shape_fp(&a, &b));
    b = plain_options();
    b.text_field_count = 1;
    assert_false(same_shape_fp(&a, &b));
}

static struct sha256 meta_fp(const struct field *fields, size_t count)
{
    return document_meta_fp(fields, count);
}

static bool equal(struct sha256 a, struct sha256 b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

static void a_fingerprint_of_metadata_tells_names_types_and_values_apart(void **state)
{
    (void)state;
    const struct field variants[][2] = {
        {{"a", value_int(1)}, {"b", value_string("x")}},
        {{"a", value_int(2)}, {"b", value_string("x")}},
        {{"a", value_string("1")}, {"b", value_string("x")}},
        {{"a", value_bool(true)}, {"b", value_string("x")}},
        {{"a", value_string("true")}, {"b", value_string("x")}},
        {{"a", value_double(0.1)}, {"b", value_string("x")}},
        {{"a", value_int(1)}, {"b", value_string("")}},
        {{"a", value_int(1)}, {"c", value_string("x")}},
        {{"ab", value_int(1)}, {"b", value_string("x")}},
        {{"a", value_string("x\",\"b\":\"x")}, {"b", value_string("x")}},
    };
    for (size_t i = 0; i < ARRAY_LEN(variants); i++) {
        assert_true(equal(meta_fp(variants[i], 2), meta_fp(variants[i], 2)));
        assert_false(equal(meta_fp(variants[i], 2), meta_fp(variants[i], 1)));
        for (size_t k = 0; k < i; k++)
            assert_false(equal(meta_fp(variants[i], 2), meta_fp(variants[k], 2)));
    }
    assert_true(equal(meta_fp(NULL, 0), meta_fp(variants[0], 0)));
}

static void a_fingerprint_of_a_document_covers_id_text_and_metadata(void **state)
{
    (void)state;
    struct field field = {"a", value_int(1)};
    struct sha256 none = document_meta_fp(NULL, 0), one = document_meta_fp(&field, 1);
    struct sha256 base = document_fp("id", "text", 4, &none);
    assert_true(equal(base, document_fp("id", "textual", 4, &none)));
    assert_false(equal(base, document_fp("id", "texts", 5, &none)));
    assert_false(equal(base, document_fp("ie", "text", 4, &none)));
    assert_false(equal(base, document_fp("idt", "ext", 3, &none)));
    assert_false(equal(base, document_fp("id", "text", 4, &one)));
    assert_false(equal(base, document_fp("id", "", 0, &none)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_joined_by_a_blank_line_in_the_order_of_the_configuration),
        cmocka_unit_test(lists_of_strings_are_joined_by_line_ends),
        cmocka_unit_test(scalars_are_written_as_a_person_would),
        cmocka_unit_test(what_nobody_wrote_is_refused),
        cmocka_unit_test(what_stands_for_an_image_or_a_file_is_no_text),
        cmocka_unit_test(a_field_that_holds_no_text_is_named_with_what_it_holds),
        cmocka_unit_test(the_first_field_that_is_foreign_to_text_is_found),
        cmocka_unit_test(a_text_larger_than_its_buffer_is_refused),
        cmocka_unit_test(metadata_is_sorted_by_name_and_nothing_is_left_out_silently),
        cmocka_unit_test(the_first_path_with_a_value_counts),
        cmocka_unit_test(each_type_has_its_form),
        cmocka_unit_test(lists_and_documents_mapped_by_name_are_relaxed_json),
        cmocka_unit_test(the_rest_is_scalars_under_names_that_are_free),
        cmocka_unit_test(a_mapped_name_goes_before_the_rest),
        cmocka_unit_test(a_hundred_thousand_names_are_read_in_a_moment),
        cmocka_unit_test(names_that_are_not_utf8_and_values_with_a_nul_are_mended_not_cut),
        cmocka_unit_test(the_source_id_is_the_id_field),
        cmocka_unit_test(a_source_id_that_is_too_long_is_refused),
        cmocka_unit_test(a_shape_keeps_only_what_the_family_uses),
        cmocka_unit_test(a_bad_filter_makes_no_shape),
        cmocka_unit_test(a_family_fingerprint_does_not_depend_on_the_order_of_the_mapping),
        cmocka_unit_test(a_family_fingerprint_covers_what_decides_an_item),
        cmocka_unit_test(a_fingerprint_of_metadata_tells_names_types_and_values_apart),
        cmocka_unit_test(a_fingerprint_of_a_document_covers_id_text_and_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
