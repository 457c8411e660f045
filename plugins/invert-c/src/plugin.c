// The operation `invert-c`: inverts colours and keeps alpha. No library, no SDK: the contract is sdk/wit, and operation.h
// is what wit-bindgen makes of it.

#include "operation.h"
#include <string.h>

typedef imgserve_operation_types_image_t image_t;

static imgserve_operation_types_pixel_format_t formats[] = {
    // The host converts what the source has to the first that loses nothing, else to the last.
    IMGSERVE_OPERATION_TYPES_PIXEL_FORMAT_RGB8,
    IMGSERVE_OPERATION_TYPES_PIXEL_FORMAT_RGBA8,
};

void exports_imgserve_operation_plugin_describe(exports_imgserve_operation_plugin_description_t *ret) {
    operation_string_set(&ret->name, "invert-c");
    operation_string_set(&ret->version, "0.1.0");
    operation_string_set(&ret->summary, "Inverts the colours of an image.");
    operation_string_set(&ret->arguments,
                         "{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\", \"type\": \"object\"}");
    ret->input.tag = IMGSERVE_OPERATION_TYPES_INPUT_KIND_PIXELS;
    ret->input.val.pixels.formats.ptr = formats;
    ret->input.val.pixels.formats.len = sizeof formats / sizeof *formats;
    ret->input.val.pixels.frames = IMGSERVE_OPERATION_TYPES_FRAME_MODE_EACH;
    ret->output.tag = IMGSERVE_OPERATION_TYPES_OUTPUT_KIND_SOURCE;

    static imgserve_operation_types_example_t example;
    operation_string_set(&example.name, "a negative");
    operation_string_set(&example.arguments, "{}");
    ret->examples.ptr = &example;
    ret->examples.len = 1;
}

// Returns true: there is nothing that it would refuse.
bool exports_imgserve_operation_plugin_plan(operation_string_t *arguments,
                                            exports_imgserve_operation_plugin_source_header_t *source,
                                            operation_list_u8_t *head,
                                            exports_imgserve_operation_plugin_planned_t *ret,
                                            exports_imgserve_operation_plugin_error_t *err) {
    (void)arguments, (void)head, (void)err;
    memset(ret, 0, sizeof *ret);
    ret->width = source->width;
    ret->height = source->height;
    ret->pixels = source->pixels;
    return true;
}

// Four bytes at a time, which the compiler makes sixteen of.
static void invert(uint8_t *data, size_t len, uint32_t mask) {
    for (; len >= 4; data += 4, len -= 4) {
        uint32_t pixel;
        memcpy(&pixel, data, 4);
        pixel ^= mask;
        memcpy(data, &pixel, 4);
    }
    for (; len > 0; data++, len--, mask >>= 8) {
        *data ^= (uint8_t)mask;
    }
}

bool exports_imgserve_operation_plugin_run(operation_string_t *arguments,
                                           exports_imgserve_operation_plugin_source_header_t *source,
                                           exports_imgserve_operation_plugin_input_t *input,
                                           exports_imgserve_operation_plugin_output_t *ret,
                                           exports_imgserve_operation_plugin_error_t *err) {
    (void)arguments, (void)source;
    if (input->tag != IMGSERVE_OPERATION_TYPES_INPUT_PIXELS) {
        err->kind = IMGSERVE_OPERATION_TYPES_ERROR_KIND_FAILED;
        operation_string_set(&err->message, "the host gave the source in another form than pixels");
        err->argument.is_some = false;
        return false;
    }
    // The pixels are ours: they are changed where they lie, and handed back.
    image_t image = input->val.pixels.image;
    bool alpha = image.format == IMGSERVE_OPERATION_TYPES_PIXEL_FORMAT_RGBA8;
    // Little-endian: the last byte of a pixel is the highest.
    invert(image.data.ptr, image.data.len, alpha ? 0x00ffffff : 0xffffffff);
    ret->tag = IMGSERVE_OPERATION_TYPES_OUTPUT_PIXELS;
    ret->val.pixels = image;
    return true;
}
