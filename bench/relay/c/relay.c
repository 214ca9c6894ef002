// relay is the floor of a TCP proxy: two threads, each with a listening socket
// (SO_REUSEPORT) and an epoll set of its own, no timeouts, no checks, no logs.
// It copies through one buffer a thread, and splices a direction that fills it.
// udp.c is the same for UDP.
//
//   relay tcp LISTEN BACKEND              both IPv4:PORT
//   relay udp LISTEN BACKEND [RESPONSES]  answers after which a flow is over
//   relay -v                              what it was compiled with
#define _GNU_SOURCE
#include "relay.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { BUFFER = 64 << 10, SPLICE = 256 << 10, SMALL = 16 << 10, TURNS = 16, BATCH = 256 };

// end is one socket of a session, and the direction that is read from it.
struct end {
	struct end *peer;
	int fd, pipe[2]; // the pipe is made when first needed; it holds what peer couldn't take
	size_t held;     // bytes in the pipe
	bool connected, rdhup, eof, shut, big, dead;
};

struct sockaddr_in listen_at, backend;
int responses;

void die(const char *what) { perror(what); exit(1); }

void start(void *(*loop)(void *), void *arg) {
	pthread_t t;
	if (pthread_create(&t, NULL, loop, arg)) die("pthread_create");
}

// fill makes sure of a pipe, and puts n bytes into it: an empty one takes BUFFER.
static bool fill(struct end *a, const char *b, size_t n) {
	if (a->pipe[1] < 0 && pipe2(a->pipe, O_NONBLOCK | O_CLOEXEC) < 0) return false;
	a->held = n;
	return n == 0 || write(a->pipe[1], b, n) == (ssize_t)n;
}

enum { WAIT, AGAIN, END };

// pump moves what it can from a to its peer, TURNS times at most.
static int pump(struct end *a, char *buf) {
	struct end *b = a->peer;
	if (!a->connected || !b->connected) return WAIT;
	for (int i = 0; i < TURNS || a->held; i++) { // what is held must wait for b, not for a's next event
		ssize_t n;
		while (a->held) {
			n = splice(a->pipe[0], NULL, b->fd, NULL, a->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
			if (n < 0) return errno == EAGAIN ? WAIT : END;
			a->held -= n;
		}
		if (a->eof) {
			if (!a->shut) shutdown(b->fd, SHUT_WR);
			a->shut = true;
			return b->shut ? END : WAIT;
		}
		if (a->big) {
			n = splice(a->fd, NULL, a->pipe[1], NULL, SPLICE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
			if (n > 0) {
				a->held = n;
				a->big = n > SMALL;
				continue;
			}
		} else {
			n = read(a->fd, buf, BUFFER);
			if (n > 0) {
				ssize_t sent = write(b->fd, buf, n);
				if (sent < 0 && errno != EAGAIN) return END;
				if (sent < 0) sent = 0;
				a->big = n == BUFFER;
				if ((sent < n || a->big) && !fill(a, buf + sent, n - sent)) return END;
				// A short read has drained the socket; only a FIN seen already brings no new event.
				if (n < BUFFER && !a->held && !a->rdhup) return WAIT;
				continue;
			}
		}
		if (n < 0) return errno == EAGAIN ? WAIT : END;
		a->eof = true;
	}
	return AGAIN;
}

static void discard(struct end *a) {
	if (a->pipe[0] >= 0) close(a->pipe[0]), close(a->pipe[1]);
	// An end that isn't that of both directions is an abort, and goes on as one.
	if (!a->shut || !a->peer->shut) setsockopt(a->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
	close(a->fd);
	a->dead = true;
}

// add watches fd, edge-triggered; on a socket that was added it asks for its events again.
static int add(int ep, int op, int fd, void *data) {
	return epoll_ctl(ep, op, fd, &(struct epoll_event){EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.ptr = data}});
}

// begin starts a session for an accepted client.
static void begin(int ep, int client) {
	int one = 1, up = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct end *s = calloc(2, sizeof *s); // client, backend
	if (up < 0 || !s || (connect(up, (void *)&backend, sizeof backend) < 0 && errno != EINPROGRESS)) {
		if (up >= 0) close(up);
		free(s);
		close(client);
		return;
	}
	s[0] = (struct end){.peer = &s[1], .fd = client, .pipe = {-1, -1}, .connected = true};
	s[1] = (struct end){.peer = &s[0], .fd = up, .pipe = {-1, -1}};
	for (int i = 0; i < 2; i++) {
		setsockopt(s[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		if (add(ep, EPOLL_CTL_ADD, s[i].fd, &s[i]) < 0) die("epoll_ctl");
	}
}

// handle returns false when the session has ended.
static bool handle(int ep, struct end *e, unsigned events, char *buf) {
	int in = WAIT, out = WAIT;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) e->rdhup = true;
	if (!e->connected && events & (EPOLLOUT | EPOLLERR)) {
		int err = 0;
		getsockopt(e->fd, SOL_SOCKET, SO_ERROR, &err, &(socklen_t){sizeof err});
		if (err) return false;
		e->connected = true;
		out = pump(e->peer, buf); // what the client said meanwhile
	} else if (e->peer->held && events & EPOLLOUT) {
		out = pump(e->peer, buf);
	}
	if (out != END && events & ~EPOLLOUT) in = pump(e, buf);
	if (out == AGAIN) add(ep, EPOLL_CTL_MOD, e->peer->fd, e->peer);
	if (in == AGAIN) add(ep, EPOLL_CTL_MOD, e->fd, e);
	return in != END && out != END;
}

static void *run(void *unused) {
	int one = 1, ep = epoll_create1(EPOLL_CLOEXEC), l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	char *buf = malloc(BUFFER);
	struct epoll_event events[BATCH];
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(l, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	if (!buf || bind(l, (void *)&listen_at, sizeof listen_at) < 0 || listen(l, 4096) < 0 || add(ep, EPOLL_CTL_ADD, l, NULL) < 0) die("listen");
	for (;;) {
		struct end *dead[BATCH]; // freed after the batch, which may hold events of them
		int ends = 0, n = epoll_wait(ep, events, BATCH, -1);
		for (int i = 0; i < n; i++) {
			struct end *e = events[i].data.ptr;
			if (!e) {
				for (int c; (c = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) begin(ep, c);
			} else if (!e->dead && !handle(ep, e, events[i].events, buf)) {
				discard(e), discard(e->peer);
				dead[ends++] = e < e->peer ? e : e->peer;
			}
		}
		while (ends) free(dead[--ends]);
	}
	return unused;
}

static bool parse(char *text, struct sockaddr_in *a) {
	char *colon = strchr(text, ':');
	if (!colon) return false;
	*colon = 0;
	a->sin_family = AF_INET;
	a->sin_port = htons(atoi(colon + 1));
	return inet_pton(AF_INET, text, &a->sin_addr) == 1;
}

int main(int argc, char **argv) {
	if (argc == 2 && strcmp(argv[1], "-v") == 0) return puts("epoll relay in C, compiler " __VERSION__) < 0;
	bool udp = argc > 1 && strcmp(argv[1], "udp") == 0;
	if (argc < 4 || argc > 5 || (!udp && strcmp(argv[1], "tcp")) || !parse(argv[2], &listen_at) || !parse(argv[3], &backend))
		return fputs("usage: relay tcp|udp LISTEN BACKEND [RESPONSES], addresses as IPv4:PORT\n", stderr), 2;
	if (argc == 5) responses = atoi(argv[4]);
	signal(SIGPIPE, SIG_IGN);
	if (udp) relay_udp();
	for (int i = 1; i < THREADS; i++) start(run, NULL);
	run(NULL);
}
