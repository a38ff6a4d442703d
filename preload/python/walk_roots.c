/*
 * walk_roots.c - where references begin: fields of interpreters and thread states, and the frames that run.
 *
 * Done twice. First everything that roots refer to is made known, so that the walk goes there too; when that is over,
 * the records of the roots are told, with words of the evaluation stacks that point at known objects.
 */
#include "walk_parts.h"

#define THREADS_MAX 65536
#define FRAMES_MAX 1000000

static bool telling;

static void reach(const void *object)
{
    nodes_of_object(object);
}

/* One field that holds a reference: a root of its own. */
static void tell_field(const void *start, const struct python_root_field *field)
{
    const void *target = pointer_at(start, field->offset);
    if (!target || !walk_plausible(target))
        return;
    if (!telling) {
        reach(target);
        return;
    }
    graph_root_begin(nodes_new(), HSK_ROOT_INTERPRETER, walk_text(field->name), 0, 0);
    walk_edges_direct();
    walk_edge(HSK_EDGE_REFERENCE, 0, target, true);
    graph_end();
}

static void tell_fields(const void *start, const struct python_root_field *fields, unsigned count)
{
    for (unsigned i = 0; i < count && fields[i].name; i++)
        tell_field(start, &fields[i]);
}

static bool is_generators(const void *frame)
{
    return byte_at(frame, walk.offsets->frame.owner) == walk.offsets->owner_generator;
}

/* What the frame owns; of a generator's frame, it is the generator that does, and that is what runs. */
static void tell_frame_edges(const void *frame)
{
    if (is_generators(frame))
        walk_edge(HSK_EDGE_BORROWED, 0, (const char *)frame - walk.objects->generator.frame, false);
    else
        walk_frame_edges(frame, true);
}

static void tell_frame(const void *frame)
{
    const void *code = walk_frame_code(frame);
    if (!code)
        return;
    const void *name = pointer_at(code, walk.offsets->code.name),
               *file = pointer_at(code, walk.offsets->code.file_name);
    uint32_t name_text = name && walk_is_str(name) ? walk_name(name) : 0;
    uint32_t file_text = file && walk_is_str(file) ? walk_name(file) : 0;
    graph_root_begin(nodes_new(), HSK_ROOT_FRAME, name_text, file_text, walk_frame_line(frame, code));
    walk_edges_direct();
    tell_frame_edges(frame);
    walk_frame_stack_words(frame);
    graph_end();
}

/* Memory that belongs to the interpreter, not to an object that points to it. */
static void exempt(void)
{
    const void *interpreter = walk.interpreters;
    for (unsigned i = 0; interpreter && i < INTERPRETERS_MAX; i++, interpreter = walk_next_interpreter(interpreter)) {
        scan_exempt((uintptr_t)interpreter);
        const void *thread = pointer_at(interpreter, walk.objects->interpreter.threads);
        for (unsigned j = 0; thread && j < THREADS_MAX; j++, thread = pointer_at(thread, walk.objects->thread.next))
            scan_exempt((uintptr_t)thread);
    }
}

/* What the frame refers to, made known. */
static void reach_frame(const void *frame)
{
    walk_edges_reach();
    if (walk_frame_code(frame))
        tell_frame_edges(frame);
}

static const void *innermost_frame(const void *thread)
{
    const void *frame = pointer_at(thread, walk.offsets->thread_state.current_frame);
    if (frame && walk.offsets->cframe.current_frame != PYTHON_NO_FIELD)
        frame = pointer_at(frame, walk.offsets->cframe.current_frame);
    return frame;
}

static void tell_frames(const void *thread)
{
    const void *frame = innermost_frame(thread);
    uint8_t shim = walk.offsets->owner_shim;
    for (unsigned i = 0; frame && i < FRAMES_MAX; i++, frame = pointer_at(frame, walk.offsets->frame.previous)) {
        if (shim && byte_at(frame, walk.offsets->frame.owner) >= shim)
            continue;
        if (telling)
            tell_frame(frame);
        else
            reach_frame(frame);
    }
}

static void tell_threads(const void *interpreter)
{
    const void *thread = pointer_at(interpreter, walk.objects->interpreter.threads);
    for (unsigned i = 0; thread && i < THREADS_MAX; i++, thread = pointer_at(thread, walk.objects->thread.next)) {
        tell_fields(thread, walk.objects->thread_roots, PYTHON_THREAD_ROOTS);
        tell_frames(thread);
    }
}

/* Types and singletons of _ast, which only C code refers to. */
static void tell_ast(const void *interpreter)
{
    const char *state = (const char *)interpreter + walk.objects->interpreter.ast;
    if (telling) {
        graph_root_begin(nodes_new(), HSK_ROOT_INTERPRETER, walk_text("_ast"), 0, 0);
        walk_edges_direct();
    } else {
        walk_edges_reach();
    }
    for (uint32_t offset = 0; offset < walk.objects->interpreter.ast_size; offset += sizeof(void *)) {
        const void *object = pointer_at(state, offset);
        if (object && walk_plausible(object))
            walk_edge(HSK_EDGE_REFERENCE, 0, object, true);
    }
    if (telling)
        graph_end();
}

/* Whether garbage waits for the next collection or for ever: a root without references says so. */
static void tell_collector(void)
{
    if (!telling || !python_capi.PyGC_IsEnabled || python_capi.PyGC_IsEnabled())
        return;
    graph_root_begin(nodes_new(), HSK_ROOT_INTERPRETER, walk_text("gc.disabled"), 0, 0);
    graph_end();
}

static void all(bool tell)
{
    telling = tell;
    tell_collector();
    const void *interpreter = walk.interpreters;
    for (unsigned i = 0; interpreter && i < INTERPRETERS_MAX; i++, interpreter = walk_next_interpreter(interpreter)) {
        tell_fields(interpreter, walk.objects->interpreter_roots, PYTHON_INTERPRETER_ROOTS);
        tell_ast(interpreter);
        tell_threads(interpreter);
    }
}

void walk_roots_reach(void)
{
    exempt();
    all(false);
}
void walk_roots_tell(void)
{
    all(true);
}
