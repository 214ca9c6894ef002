// What the relays of TCP (relay.c) and UDP (udp.c) share.
#include <netinet/in.h>

enum { THREADS = 2 };

extern struct sockaddr_in listen_at, backend;
extern int responses; // UDP: answers after which a flow is over; 0 = it goes on

void die(const char *what);
void start(void *(*loop)(void *), void *arg); // a thread
void relay_udp(void);
