// udp is the floor of a UDP proxy: two threads, each with a listening socket (SO_REUSEPORT), an epoll set and a table of flows of
// its own; no timeouts, no checks, no logs. A flow is a client's address and a connected socket to the backend.
//
// A batch of datagrams moves by one recvmmsg, joined ones whole (UDP_GRO, Linux 5.0). Those of one flow go on with one sendmmsg, and
// runs of equal sizes in it as one message (UDP_SEGMENT, Linux 4.18), from the buffers that they came in. The answers of all flows
// that are there at once go out with one sendmmsg.
#define _GNU_SOURCE
#include "relay.h"
#include <errno.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 64, BUFFER = 64 << 10, MOST = 65507, SEGMENTS = 64, BITS = 14, BACKLOG = 1 << 20 };

struct flow {
	struct flow *next; // of the same bucket, or of the free ones
	struct sockaddr_in client;
	int fd, answers;
	int first, last; // of its datagrams in the batch; -1: none
};

union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int))];
};

// box is a batch of datagrams, received.
struct box {
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	struct sockaddr_in name[BATCH];
	union control control[BATCH];
	int size[BATCH], segment[BATCH]; // bytes in all, and of each that was joined
	int next[BATCH];                 // of the same flow
};

// out is a batch of datagrams to be sent, in the buffers of a box.
struct out {
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	union control control[BATCH];
	int size[BATCH], segment[BATCH];
	int n, iovs;
	bool named; // each says where it goes
};

struct loop {
	int ep, listener, used; // slots of up
	struct flow *table[1 << BITS], *free;
	struct box down, up; // from clients, from the backend
	struct out there, back;
};

static void prepare(struct box *b, bool named) {
	for (int i = 0; i < BATCH; i++) {
		struct msghdr *h = &b->msg[i].msg_hdr;
		b->iov[i] = (struct iovec){malloc(BUFFER), BUFFER};
		if (!b->iov[i].iov_base) die("malloc");
		*h = (struct msghdr){.msg_iov = &b->iov[i], .msg_iovlen = 1, .msg_control = &b->control[i], .msg_controllen = sizeof b->control[i]};
		if (named) h->msg_name = &b->name[i], h->msg_namelen = sizeof b->name[i];
	}
}

// take receives into the slots from the given one on; -1: there is nothing.
static int take(struct box *b, int fd, int from) {
	int n;
	do n = recvmmsg(fd, b->msg + from, BATCH - from, MSG_DONTWAIT, NULL);
	while (n < 0 && errno != EAGAIN); // a refusal by the backend is no end
	for (int i = from; i < from + n; i++) {
		struct msghdr *h = &b->msg[i].msg_hdr;
		struct cmsghdr *c = CMSG_FIRSTHDR(h);
		b->size[i] = b->segment[i] = b->msg[i].msg_len;
		if (c && c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) memcpy(&b->segment[i], CMSG_DATA(c), sizeof(int));
		h->msg_controllen = sizeof b->control[i];
	}
	return n;
}

// joins reports whether datagrams of these sizes can be the next segments of message k: each is of its size but the last one.
static bool joins(struct out *o, int k, int size, int segment) {
	int whole = o->segment[k], all = o->size[k] + size;
	if (!size || !o->size[k] || o->size[k] % whole) return false;
	return (segment == whole || (segment == size && size < whole)) && all <= MOST && (all + whole - 1) / whole <= SEGMENTS;
}

// put adds slot i of b; same says that the last one was of the same flow.
static void put(struct out *o, struct box *b, int i, bool same) {
	int k = o->n - 1;
	if (!same || !joins(o, k, b->size[i], b->segment[i])) {
		k = o->n++;
		o->msg[k].msg_hdr = (struct msghdr){.msg_iov = &o->iov[o->iovs]};
		if (o->named) o->msg[k].msg_hdr.msg_name = &b->name[i], o->msg[k].msg_hdr.msg_namelen = sizeof b->name[i];
		o->size[k] = 0;
		o->segment[k] = b->segment[i];
	}
	o->iov[o->iovs++] = (struct iovec){b->iov[i].iov_base, b->size[i]};
	o->msg[k].msg_hdr.msg_iovlen++;
	o->size[k] += b->size[i];
}

// flush sends what was put. What can't be sent is lost.
static void flush(struct out *o, int fd) {
	for (int i = 0; i < o->n; i++) {
		if (o->size[i] <= o->segment[i]) continue;
		uint16_t segment = o->segment[i];
		union control *c = &o->control[i];
		c->head = (struct cmsghdr){CMSG_LEN(sizeof segment), IPPROTO_UDP, UDP_SEGMENT};
		memcpy(CMSG_DATA(&c->head), &segment, sizeof segment);
		o->msg[i].msg_hdr.msg_control = c;
		o->msg[i].msg_hdr.msg_controllen = CMSG_SPACE(sizeof segment);
	}
	for (int i = 0; i < o->n;) {
		int sent = sendmmsg(fd, o->msg + i, o->n - i, MSG_DONTWAIT);
		i += sent > 0 ? sent : 1;
	}
	o->n = o->iovs = 0;
}

static struct flow **bucket(struct loop *l, struct sockaddr_in *a) {
	uint64_t key = (uint64_t)a->sin_addr.s_addr << 16 | a->sin_port;
	return &l->table[key * 0x9E3779B97F4A7C15 >> (64 - BITS)];
}

// find is the flow of a client; a new one where there is none, NULL where none can be had.
static struct flow *find(struct loop *l, struct sockaddr_in *a) {
	struct flow **at = bucket(l, a), *f = *at;
	while (f && (f->client.sin_port != a->sin_port || f->client.sin_addr.s_addr != a->sin_addr.s_addr)) f = f->next;
	if (f) return f;
	int one = 1, fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) return NULL;
	if ((f = l->free)) l->free = f->next;
	else if (!(f = malloc(sizeof *f))) die("malloc");
	*f = (struct flow){.next = *at, .client = *a, .fd = fd, .first = -1};
	*at = f;
	setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof one);
	if (connect(fd, (void *)&backend, sizeof backend) < 0 || epoll_ctl(l->ep, EPOLL_CTL_ADD, fd, &(struct epoll_event){EPOLLIN | EPOLLET, {.ptr = f}}) < 0) die("connect");
	return f;
}

static void forget(struct loop *l, struct flow *f) {
	struct flow **at = bucket(l, &f->client);
	while (*at != f) at = &(*at)->next;
	*at = f->next;
	close(f->fd);
	f->next = l->free;
	l->free = f;
}

// forward sends what came from clients, flow by flow.
static void forward(struct loop *l) {
	struct flow *flows[BATCH], *f = NULL;
	int count = 0, n = take(&l->down, l->listener, 0);
	for (int i = 0; i < n; i++) {
		bool again = i && l->down.name[i].sin_port == l->down.name[i - 1].sin_port && l->down.name[i].sin_addr.s_addr == l->down.name[i - 1].sin_addr.s_addr;
		if (!again) f = find(l, &l->down.name[i]);
		if (!f) continue;
		l->down.next[i] = -1;
		if (f->first < 0) f->first = i, flows[count++] = f;
		else l->down.next[f->last] = i;
		f->last = i;
	}
	for (int k = 0; k < count; k++) {
		f = flows[k];
		int i = f->first;
		if (i == f->last && l->down.segment[i] == l->down.size[i]) {
			send(f->fd, l->down.iov[i].iov_base, l->down.size[i], MSG_DONTWAIT);
		} else {
			for (; i >= 0; i = l->down.next[i]) put(&l->there, &l->down, i, i != f->first);
			flush(&l->there, f->fd);
		}
		f->first = -1;
	}
}

static void answer(struct loop *l) {
	flush(&l->back, l->listener);
	l->used = 0;
}

// collect takes what the backend says to a flow. It is sent when all flows have been asked, or when there is no more room.
static void collect(struct loop *l, struct flow *f) {
	for (;;) {
		if (l->used > BATCH - 8) answer(l);
		int room = BATCH - l->used, n = take(&l->up, f->fd, l->used);
		for (int i = l->used; i < l->used + n; i++) {
			l->up.name[i] = f->client;
			put(&l->back, &l->up, i, i > l->used);
			f->answers += l->up.size[i] ? (l->up.size[i] + l->up.segment[i] - 1) / l->up.segment[i] : 1;
		}
		if (n > 0) l->used += n;
		if (responses && f->answers >= responses) return forget(l, f);
		if (n < room) return; // it was all: what comes later is another edge
	}
}

static void *run(void *arg) {
	struct loop *l = arg;
	struct epoll_event events[BATCH];
	for (;;) {
		int n = epoll_wait(l->ep, events, BATCH, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr) collect(l, events[i].data.ptr);
			else forward(l);
		}
		if (l->used) answer(l);
	}
	return NULL;
}

// relay_udp binds all sockets at once: one that came later would take over flows of the others.
void relay_udp(void) {
	struct loop *loops[THREADS];
	int one = 1, size = BACKLOG;
	for (int i = 0; i < THREADS; i++) {
		struct loop *l = loops[i] = calloc(1, sizeof *l);
		if (!l) die("calloc");
		l->ep = epoll_create1(EPOLL_CLOEXEC);
		l->listener = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		setsockopt(l->listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
		setsockopt(l->listener, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
		setsockopt(l->listener, IPPROTO_UDP, UDP_GRO, &one, sizeof one);
		if (epoll_ctl(l->ep, EPOLL_CTL_ADD, l->listener, &(struct epoll_event){EPOLLIN, {.ptr = NULL}}) < 0) die("epoll_ctl");
		l->back.named = true;
		prepare(&l->down, true);
		prepare(&l->up, false);
	}
	for (int i = 0; i < THREADS; i++)
		if (bind(loops[i]->listener, (void *)&listen_at, sizeof listen_at) < 0) die("bind");
	for (int i = 1; i < THREADS; i++) start(run, loops[i]);
	run(loops[0]);
}
