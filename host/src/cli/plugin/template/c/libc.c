// All of the C library that wit-bindgen's code calls. Every job gets a fresh instance, so memory is handed out from the
// front and never taken back.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// Set by the linker: where static data ends.
extern uint8_t __heap_base;

static const uintptr_t page = 65536;
static uintptr_t next;

void *malloc(size_t size) {
    uintptr_t start = ((next ? next : (uintptr_t)&__heap_base) + 15) & ~(uintptr_t)15;
    uintptr_t there = __builtin_wasm_memory_size(0) * page;
    if (size > UINTPTR_MAX - page - start) {
        abort();
    }
    if (start + size > there) {
        uintptr_t pages = (start + size - there + page - 1) / page;
        if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1) {
            abort();
        }
    }
    next = start + size;
    return (void *)start;
}

void *realloc(void *old, size_t size) {
    uint8_t *new = malloc(size);
    if (old) {
        // How long it was is not kept; whatever it was, it ends before the new one.
        size_t most = (size_t)(new - (uint8_t *)old);
        memcpy(new, old, size < most ? size : most);
    }
    return new;
}

void free(void *memory) {
    (void)memory;
}

// operation.c has it linked, which would be an object with the component's type; `imgserve plugin build` adds that.
void __component_type_object_force_link_operation(void) {
}

_Noreturn void abort(void) {
    __builtin_trap();
}

// With -mbulk-memory the builtins are single instructions, not calls of these functions.
void *memcpy(void *to, const void *from, size_t size) {
    return __builtin_memcpy(to, from, size);
}

void *memset(void *to, int byte, size_t size) {
    return __builtin_memset(to, byte, size);
}

size_t strlen(const char *text) {
    size_t length = 0;
    while (text[length]) {
        length++;
    }
    return length;
}
