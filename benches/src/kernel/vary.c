// Gives every run of a test another flow, then goes on to the program that is measured: one test
// run repeats one packet, and would only ever meet one flow.
//
// The source address becomes 10.0.0.0 plus the number of the flow, which is either the next one or
// one at random below `flows`.
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 ip_offset = 14;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} NEXT SEC(".maps");

struct course { __u32 flow; __u32 flows; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct course);
} COURSE SEC(".maps");

static __always_inline int go_on(struct __sk_buff *skb, __u32 flow)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 *source = data + ip_offset + 12;
	if ((void *)(source + 1) > end)
		return -1;
	*source = bpf_htonl(0x0a000000 + flow);
	bpf_tail_call(skb, &NEXT, 0);
	return -1;
}

static __always_inline struct course *course(void)
{
	__u32 first = 0;
	return bpf_map_lookup_elem(&COURSE, &first);
}

SEC("classifier") int in_turn(struct __sk_buff *skb)
{
	struct course *now = course();
	if (!now)
		return -1;
	return go_on(skb, now->flow++);
}

SEC("classifier") int at_random(struct __sk_buff *skb)
{
	struct course *now = course();
	if (!now)
		return -1;
	// A linear congruence whose upper bits are random enough.
	now->flow = now->flow * 1664525 + 1013904223;
	return go_on(skb, ((__u64)now->flow * now->flows) >> 32);
}

char _license[] SEC("license") = "GPL";
