/* A Cortex-M without a system below it: start, printing and counting under QEMU. */
#include <stdint.h>

extern uint32_t stack_top[], data_from[], data_start[], data_end[], bss_start[], bss_end[];

int main(void);
void put(const char *text);
uint32_t now(void);

static int semihost(int what, const void *with)
{
    register int r0 __asm__("r0") = what;
    register const void *r1 __asm__("r1") = with;

    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void put(const char *text)
{
    semihost(0x04, text);
}

#define REGISTER(address) (*(volatile uint32_t *)(address))

static uint32_t turns;

static void tick(void)
{
    turns++;
}

/* Ticks of the system timer since the start; it counts down from 2^24. */
uint32_t now(void)
{
    return (turns << 24) + (0xFFFFFFu - REGISTER(0xE000E018u));
}

static void start(void)
{
    uint32_t *from = data_from, *to;

#ifdef __ARM_FP
    REGISTER(0xE000ED88u) |= 0xFu << 20; /* the float unit on */
    __asm__ volatile("dsb\n isb");
#endif
    for (to = data_start; to < data_end; to++) {
        *to = *from++;
    }
    for (to = bss_start; to < bss_end; to++) {
        *to = 0;
    }
    REGISTER(0xE000E014u) = 0xFFFFFFu;
    REGISTER(0xE000E018u) = 0;
    REGISTER(0xE000E010u) = 7; /* on, with an interrupt at each turn, at the core's clock */
    main();
    semihost(0x18, (const void *)0x20026); /* the application ended */
    for (;;) {
    }
}

static void fault(void)
{
    put("FAULT\n");
    semihost(0x18, (const void *)0x20023);
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    stack_top,           (const void *)start, (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault, (const void *)fault, 0,
    0,                   0,                   0,                   (const void *)fault,
    0,                   0,                   0,                   (const void *)tick,
};
