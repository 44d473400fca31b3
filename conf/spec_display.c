/* Screen, input and sound: what follows from what, and what does not go together. */
#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "conf/secret.h"
#include "conf/spec_rules.h"

enum { RESOLUTION_MAX = 16384, UNPRIVILEGED_PORT = 1024 };

static const struct source_pos *place(const struct attr_section *section, const void *record, const char *key)
{
        const struct section *head = record;
        const struct origin *origin = spec_origin(section, record, key);

        return origin->pos.file ? &origin->pos : &head->pos;
}

/* Given by the VM template, with a value. */
static bool is_asked(const struct attr_section *section, const void *record, const char *key)
{
        return spec_origin(section, record, key)->layer == LAYER_TEMPLATE &&
               spec_is_given(section, record, key);
}

static const char *word_of(const struct attr_section *section, const char *key, int value)
{
        const struct attr_word *word = attr_find(section, key)->words;

        while (word->value != value)
                word++;
        return word->text;
}

/*
 * What does not count is said, where it is known: live.tmpl has a stand-in. QEMU takes VNC's first bytes itself, and
 * refuses a longer password for SPICE.
 */
static void cut_password(struct spec_builder *builder, struct graphics_spec *graphics)
{
        size_t most = graphics->type == GRAPHICS_SPICE ? GRAPHICS_SPICE_PASSWORD : GRAPHICS_VNC_PASSWORD;
        char *end;

        if (!graphics->passwd || secret_kind_of(graphics->passwd, NULL) != SECRET_TEXT ||
            strlen(graphics->passwd) <= most)
                return;
        spec_warn(builder, place(&attr_graphics, graphics, "PASSWD"),
                  "GRAPHICS/PASSWD: %s takes the first %zu bytes, the others do not count",
                  word_of(&attr_graphics, "TYPE", (int)graphics->type), most);
        if (graphics->type != GRAPHICS_SPICE)
                return;
        /* Not within a character: the rest would not be UTF-8. */
        for (end = graphics->passwd + most; end > graphics->passwd && ((unsigned char)*end & 0xc0) == 0x80;)
                end--;
        explicit_bzero(end, strlen(end));
}

/* A layer's value that is nothing to this kind of device; in live.tmpl it would look asked for. */
static void forget(const struct attr_section *section, void *record, const char *key)
{
        if (!is_asked(section, record, key))
                spec_drop_origin(section, record, key);
}

static void set_graphics(struct spec_builder *builder)
{
        struct graphics_spec *graphics = &builder->spec->graphics;

        if (!graphics->present)
                return;
        if (!graphics->type && !spec_is_given(&attr_graphics, graphics, "TYPE"))
                spec_fail(builder, &graphics->section.pos,
                          "GRAPHICS: TYPE has to be given, as TYPE = \"vnc\" or TYPE = \"spice\"");
        cut_password(builder, graphics);
        if (graphics->passwd && *graphics->passwd)
                graphics->random_passwd = false;
        if (graphics->type != GRAPHICS_SPICE) {
                forget(&attr_graphics, graphics, "VDAGENT");
                forget(&attr_graphics, graphics, "USB_REDIRECTIONS");
        } else if (!is_asked(&attr_graphics, graphics, "KEYMAP")) {
                free(graphics->keymap);
                graphics->keymap = NULL;
                forget(&attr_graphics, graphics, "KEYMAP");
        }
}

static bool read_resolution(const char *text, uint32_t *ret_width, uint32_t *ret_height)
{
        const char *x = text + strcspn(text, "xX");
        _cleanup_free_ char *width = xstrndup(text, (size_t)(x - text));

        return *x && text_parse_u32(width, ret_width) && text_parse_u32(x + 1, ret_height) && *ret_width &&
               *ret_height && *ret_width <= RESOLUTION_MAX && *ret_height <= RESOLUTION_MAX;
}

static void set_video(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;
        struct video_spec *video = &spec->video;

        if (!video->present && !spec->graphics.present)
                video->type = VIDEO_NONE;
        else
                video->present = true;
        if (video->resolution && !read_resolution(video->resolution, &video->width, &video->height))
                spec_fail(builder, place(&attr_video, video, "RESOLUTION"),
                          "VIDEO/RESOLUTION: '%s' is not WIDTHxHEIGHT, each 1 to %d (like 1024x768)",
                          video->resolution, RESOLUTION_MAX);
        if (video->type != VIDEO_VIRTIO) {
                forget(&attr_video, video, "IOMMU");
                forget(&attr_video, video, "ATS");
        }
}

/* What upstream's configuration ships as SPICE_OPTIONS. */
static void set_sound(struct vm_spec *spec)
{
        if (spec->sound.present)
                return;
        spec->sound.present = spec->graphics.present && spec->graphics.type == GRAPHICS_SPICE;
        if (!spec->sound.present)
                spec->sound.model = SOUND_NONE;
}

static void set_inputs(struct vm_spec *spec)
{
        for (size_t i = 0; i < spec->n_inputs; i++) {
                struct input_spec *input = &spec->inputs[i];

                if (input->bus)
                        continue;
                input->bus = input->type == INPUT_TABLET ? INPUT_USB : INPUT_PS2;
                spec_set_origin(spec, spec_own_origin(&attr_input, input, "BUS"), LAYER_RULE,
                                word_of(&attr_input, "BUS", (int)input->bus), NULL);
        }
}

/* Hexadecimal digits, perhaps behind 0x; NULL, "" and "-1": any. */
static bool read_hex(const char *text, size_t digits, int *ret)
{
        const char *p = text;

        *ret = -1;
        if (!text || !*text || strcmp(text, "-1") == 0)
                return true;
        if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X'))
                p += 2;
        if (!*p || strlen(p) > digits)
                return false;
        for (*ret = 0; *p; p++) {
                if (!isxdigit((unsigned char)*p))
                        return false;
                *ret = *ret * 16 +
                       (isdigit((unsigned char)*p) ? *p - '0' : tolower((unsigned char)*p) - 'a' + 10);
        }
        return true;
}

/* "2.0" as 0x0200: two digits each, in BCD, as the device has it (USB 2.0, 9.6.1). */
static bool read_version(const char *text, int *ret)
{
        const char *dot = text ? strchr(text, '.') : NULL;
        _cleanup_free_ char *major_text = text ? xstrndup(text, strcspn(text, ".")) : NULL;
        uint32_t major, minor = 0;

        *ret = -1;
        if (!text || !*text || strcmp(text, "-1") == 0)
                return true;
        if (!text_parse_u32(major_text, &major) || (dot && !text_parse_u32(dot + 1, &minor)) || major > 99 ||
            minor > 99)
                return false;
        *ret = (int)(major / 10 << 12 | major % 10 << 8 | minor / 10 << 4 | minor % 10);
        return true;
}

static void set_redirfilters(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;

        for (size_t i = 0; i < spec->n_redirfilters; i++) {
                struct redirfilter_spec *filter = &spec->redirfilters[i];
                const struct {
                        const char *key, *text;
                        size_t digits;
                        int *ret;
                } fields[] = { { "CLASS", filter->class_text, 2, &filter->usb_class },
                               { "VENDOR", filter->vendor_text, 4, &filter->vendor },
                               { "PRODUCT", filter->product_text, 4, &filter->product } };

                for (size_t k = 0; k < ARRAY_SIZE(fields); k++)
                        if (!read_hex(fields[k].text, fields[k].digits, fields[k].ret))
                                spec_fail(builder, place(&attr_redirfilter, filter, fields[k].key),
                                          "REDIRFILTER/%s: '%s' is not 1 to %zu hexadecimal digits",
                                          fields[k].key, fields[k].text, fields[k].digits);
                if (!read_version(filter->version_text, &filter->version))
                        spec_fail(builder, place(&attr_redirfilter, filter, "VERSION"),
                                  "REDIRFILTER/VERSION: '%s' is not a version such as 1.10 or 2.0",
                                  filter->version_text);
        }
}

void spec_set_display(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;

        set_graphics(builder);
        set_video(builder);
        set_inputs(spec);
        set_sound(spec);
        set_redirfilters(builder);
}

static bool is_loopback(const char *address)
{
        return text_starts_with(address, "127.") || strcmp(address, "::1") == 0;
}

static void check_graphics(struct spec_builder *builder)
{
        static const char *const of_spice[] = { "VDAGENT", "USB_REDIRECTIONS" };
        const struct graphics_spec *graphics = &builder->spec->graphics;
        bool is_unix = graphics->listen && strcmp(graphics->listen, GRAPHICS_UNIX) == 0;

        if (!graphics->listen || !graphics->type)
                return;
        if (is_unix && graphics->port)
                spec_fail(builder, place(&attr_graphics, graphics, "PORT"),
                          "GRAPHICS/PORT: LISTEN unix is a socket file, without a port");
        if (!graphics->passwd && !graphics->random_passwd && !is_unix && !is_loopback(graphics->listen))
                spec_warn(
                        builder, &graphics->section.pos,
                        "GRAPHICS: without PASSWD or RANDOM_PASSWD whoever reaches %s has the guest's screen and "
                        "keyboard",
                        graphics->listen);
        if (graphics->keymap && graphics->type == GRAPHICS_SPICE &&
            is_asked(&attr_graphics, graphics, "KEYMAP"))
                spec_warn(builder, place(&attr_graphics, graphics, "KEYMAP"),
                          "GRAPHICS/KEYMAP: without effect, a SPICE client sends keys and not characters");
        if (graphics->type == GRAPHICS_SPICE && graphics->port && graphics->port < UNPRIVILEGED_PORT)
                spec_fail(
                        builder, place(&attr_graphics, graphics, "PORT"),
                        "GRAPHICS/PORT: a SPICE port is %d or more: QEMU takes it itself, without privileges",
                        UNPRIVILEGED_PORT);
        for (size_t i = 0; graphics->type != GRAPHICS_SPICE && i < ARRAY_SIZE(of_spice); i++)
                if (is_asked(&attr_graphics, graphics, of_spice[i]))
                        spec_fail(builder, place(&attr_graphics, graphics, of_spice[i]),
                                  "GRAPHICS/%s: TYPE spice only", of_spice[i]);
}

/* QEMU 7.2 makes other values these in silence, or does not start. */
static void check_vram(struct spec_builder *builder, const struct video_spec *video)
{
        static const struct {
                uint64_t least, most; /* MiB */
        } limits[] = { [VIDEO_QXL] = { 8, 256 }, [VIDEO_BOCHS] = { 4, 256 } };
        uint64_t mib = (video->vram + (1 << 20) - 1) >> 20;

        if (!video->vram || video->type >= ARRAY_SIZE(limits) || !limits[video->type].most)
                return;
        if (mib < limits[video->type].least || mib > limits[video->type].most)
                spec_fail(builder, place(&attr_video, video, "VRAM"),
                          "VIDEO/VRAM: TYPE %s takes %u to %u MiB",
                          word_of(&attr_video, "TYPE", (int)video->type), (unsigned)limits[video->type].least,
                          (unsigned)limits[video->type].most);
}

static void check_video(struct spec_builder *builder)
{
        static const char *const of_virtio[] = { "IOMMU", "ATS" };
        const struct video_spec *video = &builder->spec->video;
        const char *type = word_of(&attr_video, "TYPE", (int)video->type);
        const bool asked[] = { video->iommu, video->ats };

        for (size_t i = 0; i < ARRAY_SIZE(of_virtio); i++)
                if (asked[i] && video->type != VIDEO_VIRTIO && is_asked(&attr_video, video, of_virtio[i]))
                        spec_fail(builder, place(&attr_video, video, of_virtio[i]),
                                  "VIDEO/%s: TYPE virtio only, not %s", of_virtio[i], type);
        check_vram(builder, video);
        if (video->vram &&
            (video->type == VIDEO_CIRRUS || video->type == VIDEO_VIRTIO || video->type == VIDEO_NONE) &&
            is_asked(&attr_video, video, "VRAM"))
                spec_warn(builder, place(&attr_video, video, "VRAM"), "VIDEO/VRAM: without effect on TYPE %s",
                          type);
        if (video->width &&
            (video->type == VIDEO_CIRRUS || video->type == VIDEO_VMVGA || video->type == VIDEO_NONE) &&
            is_asked(&attr_video, video, "RESOLUTION"))
                spec_warn(builder, place(&attr_video, video, "RESOLUTION"),
                          "VIDEO/RESOLUTION: without effect on TYPE %s", type);
}

void spec_check_display(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        bool is_spice = spec->graphics.present && spec->graphics.type == GRAPHICS_SPICE;

        if (spec->graphics.present)
                check_graphics(builder);
        check_video(builder);
        for (size_t i = 0; i < spec->n_inputs; i++) {
                const struct input_spec *input = &spec->inputs[i];

                if (!input->type && !spec_is_given(&attr_input, input, "TYPE"))
                        spec_fail(builder, &input->section.pos,
                                  "INPUT: TYPE has to be given: tablet, mouse or keyboard");
                else if (input->type == INPUT_TABLET && input->bus == INPUT_PS2)
                        spec_fail(builder, place(&attr_input, input, "BUS"),
                                  "INPUT/BUS: there are no ps2 tablets (try BUS = \"usb\")");
        }
        if (spec->n_redirfilters && !(is_spice && spec->graphics.usb_redirections))
                spec_fail(builder, &spec->redirfilters[0].section.pos,
                          "REDIRFILTER: goes with GRAPHICS = [ TYPE = \"spice\" ] and its USB_REDIRECTIONS");
}
