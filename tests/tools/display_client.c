/*
 * display_client - a client of a VNC or SPICE server, as far as the handshake and a few keys.
 *
 *   display_client vnc|spice ADDRESS PORT|- [KEYS]     ADDRESS a path: a Unix socket, PORT "-"
 *
 * The password is read from standard input, up to the end or a newline; empty: none is sent. KEYS are typed (VNC) as the
 * characters they are, '\n' as Return. One line of output per step, the last one "in ..." or "refused: ...". Exit status 0:
 * in, 3: refused, 1: anything else.
 * RFB 3.8: RFC 6143. SPICE: spice-protocol's link messages (spice/protocol.h); the ticket is the password with its NUL,
 * encrypted with the server's RSA key, OAEP with SHA-1.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netdb.h>
#include <openssl/des.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TIMEOUT_S     30
#define REFUSED       3
#define XK_RETURN     0xff0d
#define SPICE_MAGIC   0x51444552u /* "REDQ" */
#define SPICE_KEY     162
#define SPICE_TICKET  128
#define SPICE_DENIED  7
#define SPICE_INIT    103
#define SPICE_MESSAGE 18 /* serial, type, size, sub list */

static int sock;
static char password[1024];

static void give_up(const char *what)
{
        fprintf(stderr, "display_client: %s: %s\n", what,
                errno ? strerror(errno) : "the server's answer is strange");
        exit(1);
}

static void read_all(void *to, size_t n)
{
        char *at = to;

        while (n) {
                ssize_t got = read(sock, at, n);

                if (got == 0) {
                        fprintf(stderr, "display_client: the server has closed the connection\n");
                        exit(1);
                }
                if (got < 0)
                        give_up("read");
                at += got;
                n -= (size_t)got;
        }
}

static void write_all(const void *from, size_t n)
{
        if (write(sock, from, n) != (ssize_t)n)
                give_up("write");
}

static uint32_t read_be32(void)
{
        uint32_t number;

        read_all(&number, sizeof(number));
        return ntohl(number);
}

static void connect_to(const char *address, const char *port)
{
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
        const struct timeval timeout = { .tv_sec = TIMEOUT_S };
        struct sockaddr_un path = { .sun_family = AF_UNIX };
        struct addrinfo *found = NULL;

        if (*address == '/') {
                snprintf(path.sun_path, sizeof(path.sun_path), "%s", address);
                sock = socket(AF_UNIX, SOCK_STREAM, 0);
                if (sock < 0 || connect(sock, (struct sockaddr *)&path, sizeof(path)) < 0)
                        give_up("connect");
        } else {
                if (getaddrinfo(address, port, &hints, &found) != 0)
                        give_up("address");
                sock = socket(found->ai_family, SOCK_STREAM, 0);
                if (sock < 0 || connect(sock, found->ai_addr, found->ai_addrlen) < 0)
                        give_up("connect");
                freeaddrinfo(found);
        }
        setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
        setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
}

/* RFB's key has the bits of each byte the other way round. */
static void vnc_answer(const unsigned char challenge[16], unsigned char answer[16])
{
        DES_key_schedule schedule;
        DES_cblock key = { 0 };

        for (size_t i = 0; i < sizeof(key) && password[i]; i++)
                for (int bit = 0; bit < 8; bit++)
                        if ((unsigned char)password[i] & 1u << bit)
                                key[i] |= (unsigned char)(0x80u >> bit);
        DES_set_key_unchecked(&key, &schedule);
        for (int i = 0; i < 16; i += 8)
                DES_ecb_encrypt((const_DES_cblock *)(challenge + i), (DES_cblock *)(answer + i), &schedule,
                                DES_ENCRYPT);
}

static int refused(void)
{
        uint32_t length = read_be32();
        char reason[512] = "";

        if (length >= sizeof(reason))
                give_up("reason");
        read_all(reason, length);
        printf("refused: %s\n", reason);
        return REFUSED;
}

static void vnc_type(const char *keys)
{
        struct {
                uint8_t type, down;
                uint16_t padding;
                uint32_t key;
        } event = { .type = 4 };
        /* All of the screen, now: the answer says that the keys before were read. */
        const uint8_t request[10] = { 3, 0, 0, 0, 0, 0, 0, 1, 0, 1 };
        uint8_t first;

        for (; *keys; keys++)
                for (int down = 1; down >= 0; down--) {
                        event.down = (uint8_t)down;
                        event.key = htonl(*keys == '\n' ? XK_RETURN : (unsigned char)*keys);
                        write_all(&event, sizeof(event));
                }
        write_all(request, sizeof(request));
        read_all(&first, 1);
}

static int vnc(const char *keys)
{
        unsigned char types[255], challenge[16], answer[16], n, wanted = *password ? 2 : 1, shared = 1;
        char version[13] = "", name[256] = "";
        uint16_t width, height;
        uint8_t format[16];
        uint32_t length;

        read_all(version, 12);
        version[11] = '\0';
        printf("server %s\n", version);
        write_all("RFB 003.008\n", 12);
        read_all(&n, 1);
        if (!n)
                return refused();
        read_all(types, n);
        printf("security");
        for (int i = 0; i < n; i++)
                printf(" %d", types[i]);
        printf("\n");
        if (!memchr(types, wanted, n)) {
                printf("refused: the server does not offer type %d\n", wanted);
                return REFUSED;
        }
        write_all(&wanted, 1);
        if (wanted == 2) {
                read_all(challenge, sizeof(challenge));
                vnc_answer(challenge, answer);
                write_all(answer, sizeof(answer));
        }
        if (read_be32() != 0)
                return refused();
        write_all(&shared, 1);
        read_all(&width, sizeof(width));
        read_all(&height, sizeof(height));
        read_all(format, sizeof(format));
        length = read_be32();
        if (length >= sizeof(name))
                give_up("name");
        read_all(name, length);
        if (keys)
                vnc_type(keys);
        printf("in %dx%d %s\n", ntohs(width), ntohs(height), name);
        return 0;
}

static void encrypt_ticket(const unsigned char *key, unsigned char ticket[SPICE_TICKET])
{
        EVP_PKEY *public = d2i_PUBKEY(NULL, &key, SPICE_KEY);
        EVP_PKEY_CTX *context = public ? EVP_PKEY_CTX_new(public, NULL) : NULL;
        size_t length = SPICE_TICKET;

        errno = 0;
        if (!context || EVP_PKEY_encrypt_init(context) <= 0 ||
            EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) <= 0 ||
            EVP_PKEY_encrypt(context, ticket, &length, (const unsigned char *)password,
                             strlen(password) + 1) <= 0 ||
            length != SPICE_TICKET)
                give_up("encrypt the ticket");
        EVP_PKEY_CTX_free(context);
        EVP_PKEY_free(public);
}

static int spice(void)
{
        struct __attribute__((packed)) {
                uint32_t magic, major, minor, size;
                uint32_t connection;
                uint8_t channel, id;
                uint32_t common, channel_caps, offset;
        } hello = { htole32(SPICE_MAGIC), htole32(2), htole32(2), htole32(18), 0, 1, 0, 0, 0, htole32(18) };
        uint32_t header[4], numbers[4], result, session;
        unsigned char key[SPICE_KEY], ticket[SPICE_TICKET], rest[4096], message[SPICE_MESSAGE];
        uint16_t type;

        write_all(&hello, sizeof(hello));
        read_all(header, sizeof(header));
        if (le32toh(header[0]) != SPICE_MAGIC || le32toh(header[3]) > sizeof(rest) ||
            le32toh(header[3]) < 4 + SPICE_KEY + 12)
                give_up("link header");
        printf("server SPICE %u.%u\n", le32toh(header[1]), le32toh(header[2]));
        read_all(&result, sizeof(result));
        read_all(key, sizeof(key));
        read_all(numbers, 12);
        read_all(rest, le32toh(header[3]) - 4 - SPICE_KEY - 12);
        if (result != 0) {
                printf("refused: error %u\n", le32toh(result));
                return REFUSED;
        }
        encrypt_ticket(key, ticket);
        write_all(ticket, sizeof(ticket));
        read_all(&result, sizeof(result));
        if (result != 0) {
                printf("refused: %s\n",
                       le32toh(result) == SPICE_DENIED ? "permission denied" : "another error");
                return REFUSED;
        }
        read_all(message, sizeof(message));
        memcpy(&type, message + 8, sizeof(type));
        if (le16toh(type) != SPICE_INIT)
                give_up("first message");
        read_all(&session, sizeof(session));
        printf("in main channel, session %u\n", le32toh(session));
        return 0;
}

int main(int argc, char **argv)
{
        if (argc < 4) {
                fprintf(stderr, "usage: display_client vnc|spice ADDRESS PORT|- [KEYS]\n");
                return 2;
        }
        if (!fgets(password, sizeof(password), stdin))
                password[0] = '\0';
        password[strcspn(password, "\n")] = '\0';
        connect_to(argv[2], argv[3]);
        errno = 0;
        return strcmp(argv[1], "spice") == 0 ? spice() : vnc(argc > 4 ? argv[4] : NULL);
}
