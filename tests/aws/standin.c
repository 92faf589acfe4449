/* A stand-in for both images, small enough to push in a moment: it keeps as much of the
 * container contract as a smoke test sees. Built statically, alone in its image. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int write_file(const char *path) {
    FILE *file = fopen(path, "w");
    if (!file) return perror(path), 1;
    fputs("{}", file);
    return fclose(file);
}

static int train(void) {
    return write_file("/opt/ml/model/config.json") || write_file("/opt/ml/model/model.safetensors")
        || write_file("/opt/ml/model/metrics.json");
}

/* Reads one whole request: a socket closed with bytes unread would reset the reply. */
static void read_request(int client) {
    static char text[65536];
    size_t have = 0;
    for (;;) {
        ssize_t got = read(client, text + have, sizeof text - 1 - have);
        if (got <= 0) return;
        text[have += got] = 0;
        char *body = strstr(text, "\r\n\r\n"), *length = strstr(text, "Content-Length: ");
        if (body && have >= (size_t)(body + 4 - text) + (length ? strtoul(length + 16, 0, 10) : 0)) return;
    }
}

static int serve(void) {
    static const char body[] = "[{\"label\": \"acceptable\", \"score\": 0.9}]";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8080)};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 8)) return perror("8080"), 1;
    for (;;) {
        int client = accept(listener, 0, 0);
        read_request(client);
        dprintf(client, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", sizeof body - 1, body);
        close(client);
    }
}

int main(int count, char **words) {
    if (count > 1 && !strcmp(words[1], "train")) return train();
    if (count > 1 && !strcmp(words[1], "serve")) return serve();
    return 2;
}
