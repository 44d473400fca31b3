#include "conf/xml_tree.h"

#include <expat.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "base/library.h"
#include "base/text.h"

/* Templates in OpenNebula's own language are read without it. */
#define LIBRARY "libexpat.so.1"
#define FUNCTIONS(X)                       \
        X(XML_ErrorString)                 \
        X(XML_GetCurrentByteIndex)         \
        X(XML_GetErrorCode)                \
        X(XML_Parse)                       \
        X(XML_ParserCreate)                \
        X(XML_ParserFree)                  \
        X(XML_SetCharacterDataHandler)     \
        X(XML_SetElementHandler)           \
        X(XML_SetStartCdataSectionHandler) \
        X(XML_SetStartDoctypeDeclHandler)  \
        X(XML_SetUserData)                 \
        X(XML_SetXmlDeclHandler)           \
        X(XML_StopParser)

static struct {
#define FUNCTION_FIELD(name) __typeof__(&(name)) name;
        FUNCTIONS(FUNCTION_FIELD)
} expat;

/* Around a snippet. */
static const char wrap_start[] = "<_>", wrap_end[] = "</_>";

struct reader {
        XML_Parser parser;
        struct locator *locator;
        const char *text;
        size_t length, wrapped;   /* wrapped: bytes in front of text that are ours */
        struct xml_element *root; /* NULL until the first start tag */
        struct xml_element *open; /* innermost */
        struct text data;         /* of open, and of the elements around it, which wait below their start */
        size_t *data_starts;      /* where the data of the element of each depth starts */
        unsigned depth;
        size_t n_items;
        struct error *error;
};

void xml_tree_free(struct xml_element *root)
{
        /* Without recursion: the tree is hostile, the stack is not. */
        while (root) {
                struct xml_element *up = root->parent;

                if (root->children) {
                        struct xml_element *child = root->children;

                        root->children = child->next;
                        root = child;
                        continue;
                }
                for (size_t i = 0; i < root->n_attributes; i++) {
                        free(root->attributes[i].name);
                        free(root->attributes[i].value);
                }
                free(root->attributes);
                free(root->name);
                free(root->text);
                free(root);
                root = up;
        }
}

const struct xml_element *xml_child(const struct xml_element *element, const char *name,
                                    const struct xml_element *after)
{
        for (const struct xml_element *child = after ? after->next : element->children; child;
             child = child->next)
                if (strcmp(child->name, name) == 0)
                        return child;
        return NULL;
}

static size_t clamp(const struct reader *r, size_t index)
{
        index = index < r->wrapped ? 0 : index - r->wrapped;
        return index > r->length ? r->length : index;
}

/* The offset in the text of what the parser is at. */
static size_t offset_now(const struct reader *r)
{
        XML_Index index = expat.XML_GetCurrentByteIndex(r->parser);

        return index < 0 ? r->length : clamp(r, (size_t)index);
}

static void __attribute__((format(printf, 3, 4)))
fail(struct reader *r, size_t offset, const char *format, ...)
{
        _cleanup_text_ struct text message = TEXT_INIT;
        struct source_pos pos;
        va_list ap;

        if (r->error)
                return;
        va_start(ap, format);
        text_vaddf(&message, format, ap);
        va_end(ap);
        pos = locator_place(r->locator, offset);
        error_at(&r->error, &pos, "%s", text_str(&message));
        r->error->excerpt = template_excerpt(r->locator->raw, r->locator->raw_length, &pos);
        expat.XML_StopParser(r->parser, XML_FALSE);
}

static bool count_item(struct reader *r)
{
        if (++r->n_items <= XML_MAX_ITEMS)
                return true;
        fail(r, offset_now(r), "more than %d elements and attributes", XML_MAX_ITEMS);
        return false;
}

/* Over the next attribute of a start tag that has been found well-formed: *at is behind it then. */
static void find_attribute(const struct reader *r, size_t *at, size_t *ret_name, size_t *ret_value)
{
        const char *s = r->text;
        char quote;

        *at += strspn(s + *at, " \t\r\n");
        *ret_name = *at;
        *at += strcspn(s + *at, "\"'");
        quote = s[(*at)++];
        *ret_value = *at;
        while (s[*at] != quote)
                ++*at;
        ++*at;
}

static void read_attributes(struct reader *r, struct xml_element *element, size_t tag,
                            const XML_Char **attributes)
{
        size_t n = 0, at = tag + 1;

        while (attributes[2 * n])
                n++;
        if (!n)
                return;
        at += strcspn(r->text + at, " \t\r\n");
        element->attributes = xcalloc(n, sizeof(*element->attributes));
        for (size_t i = 0; i < n && count_item(r); i++) {
                struct xml_attribute *attribute = &element->attributes[element->n_attributes++];
                size_t name, value;

                find_attribute(r, &at, &name, &value);
                attribute->name = xstrdup(attributes[2 * i]);
                attribute->value = xstrdup(attributes[2 * i + 1]);
                attribute->name_pos = locator_place(r->locator, name);
                attribute->value_pos = locator_place(r->locator, value);
        }
}

static void XMLCALL on_start(void *data, const XML_Char *name, const XML_Char **attributes)
{
        struct reader *r = data;
        size_t at = offset_now(r);
        struct xml_element *element;

        if (r->error || !count_item(r))
                return;
        if (r->depth == XML_MAX_DEPTH) {
                fail(r, at, "more than %d elements inside each other", XML_MAX_DEPTH);
                return;
        }
        element = xcalloc(1, sizeof(*element));
        element->parent = r->open;
        if (!r->open)
                r->root = element;
        else if (r->open->last_child)
                r->open->last_child->next = element;
        else
                r->open->children = element;
        if (r->open)
                r->open->last_child = element;
        r->open = element;
        r->data_starts[r->depth++] = r->data.length;
        element->name = xstrdup(r->wrapped && !element->parent ? "" : name);
        element->pos = locator_place(r->locator, at);
        element->text_pos = element->pos;
        if (!r->wrapped || element->parent)
                read_attributes(r, element, at, attributes);
}

static void XMLCALL on_end(void *data, const XML_Char *name)
{
        struct reader *r = data;
        size_t start;

        (void)name;
        if (r->error)
                return;
        /* What stands behind a child joins what stands before it. */
        start = r->data_starts[--r->depth];
        r->open->text = xstrndup(text_str(&r->data) + start, r->data.length - start);
        if (r->data.length) {
                r->data.length = start;
                r->data.data[start] = '\0';
        }
        r->open = r->open->parent;
}

static void mark_text(struct reader *r, size_t offset)
{
        if (r->open->has_text)
                return;
        r->open->has_text = true;
        r->open->text_pos = locator_place(r->locator, offset);
}

static void XMLCALL on_data(void *data, const XML_Char *s, int length)
{
        struct reader *r = data;

        if (r->error || !r->open)
                return;
        mark_text(r, offset_now(r));
        text_add_bytes(&r->data, s, (size_t)length);
}

static void XMLCALL on_cdata(void *data)
{
        struct reader *r = data;

        if (!r->error && r->open)
                mark_text(r, offset_now(r) + strlen("<![CDATA["));
}

static void XMLCALL on_doctype(void *data, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public, int has_subset)
{
        struct reader *r = data;

        (void)name, (void)system, (void)public, (void)has_subset;
        fail(r, offset_now(r), "a document type is not taken: entities could stand for anything");
}

static void XMLCALL on_declaration(void *data, const XML_Char *version, const XML_Char *encoding,
                                   int standalone)
{
        struct reader *r = data;

        (void)version, (void)standalone;
        if (encoding && strcasecmp(encoding, "utf-8") != 0 && strcasecmp(encoding, "us-ascii") != 0 &&
            strcasecmp(encoding, "ascii") != 0) {
                _cleanup_free_ char *shown = text_printable(encoding);

                fail(r, offset_now(r), "encoding '%s' is not taken: UTF-8 it has to be", shown);
        }
}

/* What expat says of its own, with the open element where that helps. */
static void parser_error(struct reader *r)
{
        enum XML_Error code = expat.XML_GetErrorCode(r->parser);
        size_t at = offset_now(r);
        bool inside = r->open && (!r->wrapped || r->open->parent);

        if (inside && (code == XML_ERROR_TAG_MISMATCH || code == XML_ERROR_NO_ELEMENTS ||
                       code == XML_ERROR_UNCLOSED_TOKEN || code == XML_ERROR_UNCLOSED_CDATA_SECTION)) {
                _cleanup_free_ char *shown = text_printable(r->open->name);

                fail(r, at, "not XML: %s; <%s> of line %u is open", expat.XML_ErrorString(code), shown,
                     r->open->pos.line);
        } else if (r->wrapped && r->open && code == XML_ERROR_TAG_MISMATCH) {
                fail(r, at, "not XML: an end tag, and no element is open");
        } else {
                fail(r, at, "not XML: %s", expat.XML_ErrorString(code));
        }
}

static bool feed(struct reader *r, const char *text, size_t length, bool is_final)
{
        if (r->error)
                return false;
        if (expat.XML_Parse(r->parser, text, (int)length, is_final) == XML_STATUS_OK)
                return true;
        if (!r->error)
                parser_error(r);
        return false;
}

int xml_tree_parse(struct locator *locator, const char *text, size_t length, bool wrap,
                   struct xml_element **ret_root, struct error **err)
{
        size_t starts[XML_MAX_DEPTH];
        struct reader r = {
                .locator = locator,
                .text = text,
                .length = length,
                .wrapped = wrap ? strlen(wrap_start) : 0,
                .data_starts = starts,
        };
        const char *nul = length ? memchr(text, '\0', length) : NULL;

#define FUNCTION_NAME(name) #name "\0"
        if (!expat.XML_Parse && library_load(LIBRARY, FUNCTIONS(FUNCTION_NAME), &expat, err) < 0)
                return error_wrap(err, "XML needs expat here (Debian: apt-get install libexpat1)");
        r.parser = expat.XML_ParserCreate("UTF-8");
        if (!r.parser)
                abort();
        expat.XML_SetUserData(r.parser, &r);
        expat.XML_SetElementHandler(r.parser, on_start, on_end);
        expat.XML_SetCharacterDataHandler(r.parser, on_data);
        expat.XML_SetStartCdataSectionHandler(r.parser, on_cdata);
        expat.XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
        expat.XML_SetXmlDeclHandler(r.parser, on_declaration);
        if (length > TEMPLATE_MAX_BYTES)
                fail(&r, 0, "larger than %u MiB", TEMPLATE_MAX_BYTES >> 20);
        else if (nul)
                fail(&r, (size_t)(nul - text), "a NUL byte: this is not a text");
        else if (wrap)
                (void)(feed(&r, wrap_start, strlen(wrap_start), false) && feed(&r, text, length, false) &&
                       feed(&r, wrap_end, strlen(wrap_end), true));
        else
                feed(&r, text, length, true);
        expat.XML_ParserFree(r.parser);
        text_done(&r.data);
        if (r.error) {
                xml_tree_free(r.root);
                *err = r.error;
                return -1;
        }
        *ret_root = r.root;
        return 0;
}
