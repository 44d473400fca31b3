#include "base/bus_message.h"

#include <string.h>

enum { TYPE_CALL = 1, TYPE_RETURN = 2, TYPE_ERROR = 3, TYPE_SIGNAL = 4 };
enum { FLAG_NO_REPLY = 1, FLAG_NO_START = 2 };
enum {
        FIELD_PATH = 1,
        FIELD_INTERFACE,
        FIELD_MEMBER,
        FIELD_ERROR_NAME,
        FIELD_REPLY_SERIAL,
        FIELD_DESTINATION,
        FIELD_SENDER,
        FIELD_SIGNATURE
};

#define FIXED_HEADER 16u
#define OWN_ORDER    (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 'l' : 'B')

/* What is written. */

void bus_body_done(struct bus_body *body)
{
        text_done(&body->bytes);
        text_done(&body->signature);
}

/* from: where the message begins. */
static void align(struct text *out, size_t from, size_t to)
{
        static const char zeros[8];
        size_t beyond = (out->length - from) % to;

        if (beyond)
                text_add_bytes(out, zeros, to - beyond);
}

static void add_u32(struct text *out, size_t from, uint32_t value)
{
        align(out, from, sizeof(value));
        text_add_bytes(out, &value, sizeof(value));
}

/* With its NUL. */
static void add_string(struct text *out, size_t from, const char *value)
{
        size_t n = strlen(value);

        add_u32(out, from, (uint32_t)n);
        text_add_bytes(out, value, n + 1);
}

void bus_body_string(struct bus_body *body, const char *value)
{
        text_add(&body->signature, "s");
        add_string(&body->bytes, 0, value);
}

void bus_body_u32(struct bus_body *body, uint32_t value)
{
        text_add(&body->signature, "u");
        add_u32(&body->bytes, 0, value);
}

void bus_body_bytes(struct bus_body *body, const uint8_t *value, uint32_t n)
{
        text_add(&body->signature, "ay");
        add_u32(&body->bytes, 0, n);
        text_add_bytes(&body->bytes, value, n);
}

void bus_authenticate(struct text *out, unsigned uid)
{
        _cleanup_free_ char *decimal = xasprintf("%u", uid), *hex = text_to_hex(decimal, strlen(decimal));

        text_add_bytes(out, "", 1);
        text_addf(out, "AUTH EXTERNAL %s\r\nBEGIN\r\n", hex);
}

static void add_field(struct text *out, size_t from, int field, char type, const char *value)
{
        const char head[] = { (char)field, 1, type, '\0' };

        align(out, from, 8);
        text_add_bytes(out, head, sizeof(head));
        if (type == 'g') {
                text_add_char(out, (char)strlen(value));
                text_add_bytes(out, value, strlen(value) + 1);
        } else {
                add_string(out, from, value);
        }
}

void bus_add_call(struct text *out, uint32_t serial, bool silent, const struct bus_target *target,
                  const struct bus_body *body)
{
        const char head[] = { OWN_ORDER, TYPE_CALL, (char)(FLAG_NO_START | (silent ? FLAG_NO_REPLY : 0)), 1 };
        size_t from = out->length, fields;
        uint32_t length;

        text_add_bytes(out, head, sizeof(head));
        add_u32(out, from, body ? (uint32_t)body->bytes.length : 0);
        add_u32(out, from, serial);
        /* How many bytes of fields: known at their end. */
        add_u32(out, from, 0);
        fields = out->length;
        add_field(out, from, FIELD_PATH, 'o', target->path);
        add_field(out, from, FIELD_INTERFACE, 's', target->interface);
        add_field(out, from, FIELD_MEMBER, 's', target->member);
        add_field(out, from, FIELD_DESTINATION, 's', target->destination);
        if (body)
                add_field(out, from, FIELD_SIGNATURE, 'g', text_str(&body->signature));
        length = (uint32_t)(out->length - fields);
        memcpy(out->data + fields - sizeof(length), &length, sizeof(length));
        align(out, from, 8);
        if (body)
                text_add_bytes(out, body->bytes.data, body->bytes.length);
}

/* What is read. */

/* Bytes that are there, and how far they are read. */
struct reader {
        const char *data;
        size_t n, at;
        bool swapped;
};

static bool read_align(struct reader *r, size_t to)
{
        size_t beyond = r->at % to;

        if (beyond)
                r->at += to - beyond;
        return r->at <= r->n;
}

static bool read_byte(struct reader *r, uint8_t *ret)
{
        if (r->at >= r->n)
                return false;
        *ret = (uint8_t)r->data[r->at++];
        return true;
}

static bool read_u32(struct reader *r, uint32_t *ret)
{
        if (!read_align(r, sizeof(*ret)) || r->n - r->at < sizeof(*ret))
                return false;
        memcpy(ret, r->data + r->at, sizeof(*ret));
        if (r->swapped)
                *ret = __builtin_bswap32(*ret);
        r->at += sizeof(*ret);
        return true;
}

/* n bytes and a NUL, and none before. */
static bool read_text(struct reader *r, size_t n, const char **ret)
{
        if (r->n - r->at <= n || strnlen(r->data + r->at, n + 1) != n)
                return false;
        *ret = r->data + r->at;
        r->at += n + 1;
        return true;
}

static bool read_string(struct reader *r, const char **ret)
{
        uint32_t n;

        return read_u32(r, &n) && read_text(r, n, ret);
}

static bool read_signature(struct reader *r, const char **ret)
{
        uint8_t n;

        return read_byte(r, &n) && read_text(r, n, ret);
}

struct header {
        const char *error, *signature;
        uint32_t reply_to;
};

/* A field is a variant; those of other types than these are not known to the specification, and are in no reply. */
static bool read_field(struct reader *r, struct header *header)
{
        const char *type, *text = NULL;
        uint32_t number = 0;
        uint8_t field;

        if (!read_align(r, 8) || !read_byte(r, &field) || !read_signature(r, &type))
                return false;
        if (strcmp(type, "s") == 0 || strcmp(type, "o") == 0) {
                if (!read_string(r, &text))
                        return false;
        } else if (strcmp(type, "g") == 0) {
                if (!read_signature(r, &text))
                        return false;
        } else if (strcmp(type, "u") != 0 || !read_u32(r, &number)) {
                return false;
        }
        if (field == FIELD_ERROR_NAME && text)
                header->error = text;
        if (field == FIELD_SIGNATURE && text)
                header->signature = text;
        if (field == FIELD_REPLY_SERIAL)
                header->reply_to = number;
        return true;
}

static const char *first_text(struct reader *body, const char *signature)
{
        const char *text = NULL;

        if (signature && *signature == 'v' && !read_signature(body, &signature))
                return NULL;
        if (!signature || (*signature != 's' && *signature != 'o') || !read_string(body, &text))
                return NULL;
        return text;
}

int bus_reply_parse(const char *data, size_t n, struct bus_reply *ret)
{
        struct reader head = { .data = data, .n = n, .at = 4 }, body;
        struct header header = { 0 };
        uint32_t body_length, serial, fields_length, length;
        size_t begin;

        if (n < FIXED_HEADER)
                return 0;
        if ((data[0] != 'l' && data[0] != 'B') || data[3] != 1 || data[1] < TYPE_RETURN ||
            data[1] > TYPE_SIGNAL)
                return -1;
        head.swapped = data[0] != OWN_ORDER;
        read_u32(&head, &body_length);
        read_u32(&head, &serial);
        read_u32(&head, &fields_length);
        if (body_length > BUS_MESSAGE_MAX || fields_length > BUS_MESSAGE_MAX)
                return -1;
        begin = (FIXED_HEADER + fields_length + 7) / 8 * 8;
        length = (uint32_t)begin + body_length;
        if (length > BUS_MESSAGE_MAX)
                return -1;
        if (n < length)
                return 0;
        head.n = FIXED_HEADER + fields_length;
        while (head.at < head.n)
                if (!read_field(&head, &header))
                        return -1;
        *ret = (struct bus_reply){ .serial = data[1] == TYPE_SIGNAL ? 0 : header.reply_to,
                                   .error = data[1] == TYPE_ERROR ? header.error : NULL };
        if (data[1] != TYPE_SIGNAL && !ret->serial)
                return -1;
        if (data[1] == TYPE_ERROR && !ret->error)
                return -1;
        /* A body begins at a multiple of 8, so what is aligned in it is aligned in the message. */
        body = (struct reader){ .data = data + begin, .n = body_length, .swapped = head.swapped };
        ret->text = first_text(&body, header.signature);
        return (int)length;
}
