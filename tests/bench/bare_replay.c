/* SPDX-License-Identifier: Apache-2.0 */
/* The least that a writer could do: request bodies from a file, sent one after another to one URL
 * over one connection.
 *
 *     bare_replay URL FILE
 *
 * FILE: for each body its size in bytes as text, a line end, and the bytes. Prints one line of JSON.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bare_replay: %s: %s\n", what, why);
    exit(1);
}

static double now_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static size_t ignore(char *data, size_t size, size_t count, void *context)
{
    (void)data;
    (void)context;
    return size * count;
}

static void send_body(CURL *curl, char *body, long size)
{
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, size);
    CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_OK)
        die("request", curl_easy_strerror(code));
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200 && status != 201)
        die("request", "the store refused a body");
}

int main(int argc, char **argv)
{
    if (argc != 3)
        die("usage", "bare_replay URL FILE");
    FILE *file = fopen(argv[2], "rb");
    if (!file)
        die(argv[2], "cannot be opened");
    curl_global_init(CURL_GLOBAL_ALL);
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    headers = curl_slist_append(headers, "Expect:");
    curl_easy_setopt(curl, CURLOPT_URL, argv[1]);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore);
    char line[32];
    long bodies = 0;
    double began = now_s();
    while (fgets(line, sizeof line, file)) {
        long size = strtol(line, NULL, 10);
        char *body = malloc((size_t)size);
        if (!body || fread(body, 1, (size_t)size, file) != (size_t)size)
            die(argv[2], "is cut short");
        send_body(curl, body, size);
        free(body);
        bodies++;
    }
    printf("{\"requests\": %ld, \"seconds\": %.3f}\n", bodies, now_s() - began);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    fclose(file);
    return 0;
}
