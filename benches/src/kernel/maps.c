// The ways to keep the counters of flows, each with the same work for a packet and no more of it
// than there must be: IPv4 without options, ports, a key, a lookup, an addition.
//
// `NAME_up` and `NAME_down` count the same packet in the same flow, in its two halves.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_helpers.h>

#define GO_ON (-1)

struct key { __u64 addresses, rest; };
struct counters { __u64 packets[2], bytes[2], first_ns, last_ns, marks; };
_Static_assert(sizeof(struct key) == 16 && sizeof(struct counters) == 56, "as flowlog's");

struct flows {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct key);
	__type(value, struct counters);
};
// Also taken as the map of one CPU, by loading this object once for each.
struct flows SHARED SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1);
	__type(key, struct key);
	__type(value, struct counters);
} PER_CPU SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct flows);
} BY_CPU SEC(".maps");

struct packet { struct key key; __u64 bytes, now_ns; };

static __always_inline int parse(struct __sk_buff *skb, struct packet *packet)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	__u32 *ports = (void *)(ip + 1);
	if ((void *)(ports + 1) > end || ip->version != 4 || ip->ihl != 5)
		return 0;
	// In whole words, as the kernel reads the key again at once.
	packet->key.addresses = *(__u64 *)&ip->saddr;
	packet->key.rest = (__u64)*ports << 32 | skb->ifindex << 8 | ip->protocol;
	packet->bytes = skb->len - ETH_HLEN;
	packet->now_ns = bpf_ktime_get_coarse_ns();
	return 1;
}

static __always_inline void
add(struct counters *counters, const struct packet *packet, int half, int atomically)
{
	if (atomically) {
		__sync_fetch_and_add(&counters->packets[half], 1);
		__sync_fetch_and_add(&counters->bytes[half], packet->bytes);
	} else {
		counters->packets[half] += 1;
		counters->bytes[half] += packet->bytes;
	}
	// Does not take the cache line away from another CPU without need.
	if (counters->last_ns != packet->now_ns)
		counters->last_ns = packet->now_ns;
}

static __always_inline int count(struct __sk_buff *skb, void *flows, int half, int atomically)
{
	struct packet packet;
	if (!parse(skb, &packet))
		return GO_ON;
	struct counters *counters = bpf_map_lookup_elem(flows, &packet.key);
	if (!counters) {
		struct counters first = { .first_ns = packet.now_ns, .last_ns = packet.now_ns };
		first.packets[half] = 1;
		first.bytes[half] = packet.bytes;
		if (bpf_map_update_elem(flows, &packet.key, &first, BPF_NOEXIST) == 0)
			return GO_ON;
		// Another CPU was first.
		counters = bpf_map_lookup_elem(flows, &packet.key);
	}
	if (counters)
		add(counters, &packet, half, atomically);
	return GO_ON;
}

static __always_inline int count_by_cpu(struct __sk_buff *skb, int half)
{
	__u32 cpu = bpf_get_smp_processor_id();
	void *flows = bpf_map_lookup_elem(&BY_CPU, &cpu);
	return flows ? count(skb, flows, half, 0) : GO_ON;
}

#define DESIGN(name, call) \
	SEC("classifier") int name(struct __sk_buff *skb) { return call; }
DESIGN(shared_up, count(skb, &SHARED, 0, 1))
DESIGN(shared_down, count(skb, &SHARED, 1, 1))
DESIGN(racy_up, count(skb, &SHARED, 0, 0))
DESIGN(racy_down, count(skb, &SHARED, 1, 0))
DESIGN(per_cpu_up, count(skb, &PER_CPU, 0, 0))
DESIGN(per_cpu_down, count(skb, &PER_CPU, 1, 0))
DESIGN(by_cpu_up, count_by_cpu(skb, 0))
DESIGN(by_cpu_down, count_by_cpu(skb, 1))

// A packet has more done to it than to be counted, and CPUs that share a flow meet less often.
static long step(__u32 index, __u64 *sum)
{
	*sum = *sum * 3 + index;
	return 0;
}

static __always_inline void work(void)
{
	__u64 sum = 0;
	bpf_loop(100, step, &sum, 0);
}

#define PACED(name, map, half, atomically) \
	SEC("classifier") int name(struct __sk_buff *skb) \
	{ \
		work(); \
		return count(skb, &map, half, atomically); \
	}
PACED(shared_paced_up, SHARED, 0, 1)
PACED(shared_paced_down, SHARED, 1, 1)
PACED(per_cpu_paced_up, PER_CPU, 0, 0)
PACED(per_cpu_paced_down, PER_CPU, 1, 0)

SEC("classifier") int empty_paced(struct __sk_buff *skb)
{
	work();
	return GO_ON;
}

SEC("classifier") int empty(struct __sk_buff *skb) { return GO_ON; }

// Values as large as those of several CPUs: what the kernel copies for a flow on a machine with
// more CPUs than this one. A program's stack is too small for them, so the first is in a map.
struct first { struct counters of_cpu[32]; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct first);
} FIRST SEC(".maps");

static __always_inline int count_wide(struct __sk_buff *skb, void *flows)
{
	__u32 only = 0;
	struct packet packet;
	struct first *first = bpf_map_lookup_elem(&FIRST, &only);
	if (!first || !parse(skb, &packet))
		return GO_ON;
	struct counters *counters = bpf_map_lookup_elem(flows, &packet.key);
	if (counters) {
		add(counters, &packet, 0, 0);
		return GO_ON;
	}
	first->of_cpu[0].packets[0] = 1;
	first->of_cpu[0].bytes[0] = packet.bytes;
	first->of_cpu[0].first_ns = first->of_cpu[0].last_ns = packet.now_ns;
	bpf_map_update_elem(flows, &packet.key, first, BPF_NOEXIST);
	return GO_ON;
}

#define WIDE(times) \
	struct value_##times { struct counters of_cpu[times]; }; \
	struct { \
		__uint(type, BPF_MAP_TYPE_PERCPU_HASH); \
		__uint(max_entries, 1); \
		__type(key, struct key); \
		__type(value, struct value_##times); \
	} WIDE_##times SEC(".maps"); \
	SEC("classifier") int wide_##times(struct __sk_buff *skb) \
	{ \
		return count_wide(skb, &WIDE_##times); \
	}
WIDE(1)
WIDE(4)
WIDE(8)
WIDE(16)
WIDE(32)

char _license[] SEC("license") = "GPL";
