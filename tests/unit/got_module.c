/* got_module.c - a module that calls the test that opens it, and has a pointer to a function that nobody defines. */
int test_add(int number);
int got_module_add(int number);
int (*got_module_address(void))(int);

extern __attribute__((weak, visibility("default"))) void test_absent(void);
extern void (*got_module_hook)(void);
void (*got_module_hook)(void) = test_absent;

int got_module_add(int number)
{
    return test_add(number);
}

int (*got_module_address(void))(int)
{
    return test_add;
}
