/* test_watch_spec.c - what --watch SPEC means (include/internal/watch_spec.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "internal/watch_spec.h"

static struct hs_watch_spec spec;

static const char *parse(const char *text)
{
    return hs_watch_parse(&spec, text, strlen(text));
}

static struct hs_watch_text text(const char *string)
{
    return (struct hs_watch_text){string, strlen(string)};
}

static void assert_text(struct hs_watch_text found, const char *wanted)
{
    assert_non_null(found.bytes);
    assert_int_equal(found.length, strlen(wanted));
    assert_memory_equal(found.bytes, wanted, found.length);
}

static void terms_are_read(void **state)
{
    (void)state;
    assert_null(parse("type:app.models.Item"));
    assert_text(spec.type, "app.models.Item");
    assert_int_equal(spec.every, 0);
    assert_null(parse("site:app/views.py:120,every:10"));
    assert_text(spec.file, "app/views.py");
    assert_int_equal(spec.line, 120);
    assert_int_equal(spec.every, 10);
    assert_null(spec.function.bytes);
    assert_null(parse("type:dict,site:Shop.<locals>.make"));
    assert_text(spec.type, "dict");
    assert_text(spec.function, "Shop.<locals>.make");
    assert_null(parse("symbol:counter,size:2"));
    assert_text(spec.symbol, "counter");
    assert_int_equal(spec.size, 2);
    assert_null(parse("addr:0x7f00DEADbeef"));
    assert_int_equal(spec.address, 0x7f00deadbeef);
    assert_null(parse("leak:a,b#c.hsk#3,every:2"));
    assert_text(spec.trace, "a,b#c.hsk");
    assert_int_equal(spec.leak, 3);
    assert_int_equal(spec.every, 2);
    assert_null(parse("site:C:name")); /* no line: a function, whatever it is called */
    assert_text(spec.function, "C:name");
    assert_null(parse("site:make2"));
    assert_text(spec.function, "make2");
}

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "type:A,type:B",
        "site:a,site:b:3",
        "symbol:a,symbol:b",
        "site:f,site:g",
        "site::5",
        "site:views.py:0",
        "site:views.py:99999999999999999999",
        "type:A,every:2,every:3",
        "symbol:a,size:2,size:2",
        "addr:0x10,addr:0x20",
        "site::",
        "",
        "Item",
        "type:",
        "type:A,",
        "site:",
        "every:3",
        "type:A,every:0",
        "type:A,every:x",
        "type:A,every:99999999999999999999999",
        "symbol:",
        "symbol:a,type:B",
        "symbol:a,size:3",
        "type:A,size:4",
        "symbol:a,every:2",
        "leak:t.hsk",
        "leak:#1",
        "leak:t#0",
        "leak:t#x",
        "leak:t#1,type:A",
        "addr:12",
        "addr:0x",
        "addr:0xg",
        "addr:0x1,symbol:a",
        "type:A,frobnicate:1",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *why = parse(wrong[i]);
        if (!why)
            fail_msg("\"%s\" was taken", wrong[i]);
        assert_true(strlen(why) > 10);
    }
}

static void types_match(void **state)
{
    (void)state;
    parse("type:Item");
    assert_true(hs_watch_type_matches(&spec, text("app"), text("Item")));
    assert_true(hs_watch_type_matches(&spec, text(""), text("Item")));
    assert_false(hs_watch_type_matches(&spec, text("app"), text("LineItem")));
    assert_false(hs_watch_type_matches(&spec, text("app"), text("Item.Inner")));
    parse("type:app.models.Item");
    assert_true(hs_watch_type_matches(&spec, text("app.models"), text("Item")));
    assert_true(hs_watch_type_matches(&spec, text("app"), text("models.Item"))); /* "Item" in a class "models" */
    assert_false(hs_watch_type_matches(&spec, text("my.app.models"), text("Item")));
    assert_false(hs_watch_type_matches(&spec, text("app.model"), text("sItem")));
    parse("type:builtins.list");
    assert_true(hs_watch_type_matches(&spec, text(""), text("list")));
    parse("type:list");
    assert_true(hs_watch_type_matches(&spec, text(""), text("list")));
    parse("site:f");
    assert_true(hs_watch_type_matches(&spec, text("any"), text("Thing")));
}

static void sites_match(void **state)
{
    (void)state;
    parse("site:views.py:12");
    assert_true(hs_watch_site_matches(&spec, text("/srv/app/views.py"), 12, text("f")));
    assert_true(hs_watch_site_matches(&spec, text("views.py"), 12, text("f")));
    assert_false(hs_watch_site_matches(&spec, text("/srv/app/reviews.py"), 12, text("f")));
    assert_false(hs_watch_site_matches(&spec, text("/srv/app/views.py"), 13, text("f")));
    assert_false(hs_watch_site_matches(&spec, text("s.py"), 12, text("f")));
    parse("site:/srv/app/views.py:12");
    assert_true(hs_watch_site_matches(&spec, text("/srv/app/views.py"), 12, text("f")));
    assert_false(hs_watch_site_matches(&spec, text("app/views.py"), 12, text("f")));
    parse("site:make");
    assert_true(hs_watch_site_matches(&spec, text("x.py"), 1, text("make")));
    assert_true(hs_watch_site_matches(&spec, text("x.py"), 1, text("Shop.make")));
    assert_true(hs_watch_site_matches(&spec, text("x.py"), 1, text("outer.<locals>.make")));
    assert_false(hs_watch_site_matches(&spec, text("x.py"), 1, text("remake")));
    assert_false(hs_watch_site_matches(&spec, text("x.py"), 1, text("make.inner")));
    parse("site:Shop.make");
    assert_true(hs_watch_site_matches(&spec, text("x.py"), 1, text("Shop.make")));
    assert_false(hs_watch_site_matches(&spec, text("x.py"), 1, text("make")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terms_are_read),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(types_match),
        cmocka_unit_test(sites_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
