/* The derived device id: the same machine gives the same one, each characteristic makes another,
 * what every machine has makes none, and once kept it is never worked out again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/ids.h"
#include "common/instance.h"
#include "edge_agent/device_id.h"

static char root[64], state_dir[96];
static struct sb_err err;

static void put(const char *path, const char *text)
{
    char whole[256], *slash;
    FILE *file;

    snprintf(whole, sizeof(whole), "%s/%s", root, path);
    slash = strrchr(whole, '/');
    *slash = '\0';
    assert_int_equal(sb_make_folder(whole, 0755, &err), 0);
    *slash = '/';
    file = fopen(whole, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void put_interface(const char *name, const char *address, const char *assigned, bool device)
{
    char path[128];

    snprintf(path, sizeof(path), "sys/class/net/%s/address", name);
    put(path, address);
    snprintf(path, sizeof(path), "sys/class/net/%s/type", name);
    put(path, "1\n");
    snprintf(path, sizeof(path), "sys/class/net/%s/addr_assign_type", name);
    put(path, assigned);
    snprintf(path, sizeof(path), "sys/class/net/%s/device/vendor", name);
    if (device)
        put(path, "0x8086\n");
}

static void put_machine(void)
{
    put("etc/machine-id", "0f1e2d3c4b5a69788796a5b4c3d2e1f0\n");
    put("sys/class/dmi/id/product_uuid", "4c4c4544-0042-3510-8052-b4c04f4e4d32\n");
    put_interface("eth0", "00:1b:21:aa:bb:cc\n", "0\n", true);
    put_interface("eth1", "00:1b:21:aa:bb:01\n", "0\n", true);
    put_interface("docker0", "02:42:00:00:00:01\n", "3\n", false);
    put_interface("usb0", "1e:aa:bb:cc:dd:ee\n", "1\n", true); /* another one at each start */
    put_interface("lo", "00:00:00:00:00:00\n", "0\n", false);
    put("proc/cpuinfo", "processor\t: 0\nmodel\t\t: 158\nmodel name\t: Some CPU @ 3.60GHz\n");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static int setup(void **state)
{
    (void)state;
    err = (struct sb_err){0};
    snprintf(root, sizeof(root), "/tmp/test_device_id.XXXXXX");
    if (mkdtemp(root) == NULL)
        return -1;
    snprintf(state_dir, sizeof(state_dir), "%s/state", root);
    return mkdir(state_dir, 0700);
}

static int teardown(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *derived(char out[DEVICE_ID_LEN + 1])
{
    assert_int_equal(device_id_derive(root, out, &err), 0);
    assert_int_equal(strlen(out), DEVICE_ID_LEN);
    assert_true(sb_device_valid(sb_span_of(out)));
    return out;
}

static void it_is_the_hash_of_the_characteristics(void **state)
{
    static const char text[] = "sb device id 1\n"
                               "machine-id=0f1e2d3c4b5a69788796a5b4c3d2e1f0\n"
                               "uuid=4c4c4544-0042-3510-8052-b4c04f4e4d32\n"
                               "address=00:1b:21:aa:bb:01\n"
                               "address=00:1b:21:aa:bb:cc\n"
                               "cpu=Some CPU @ 3.60GHz\n";
    char id[DEVICE_ID_LEN + 1], want[DEVICE_ID_LEN + 1];
    struct sb_span part = sb_span_of(text);
    unsigned char digest[32];

    (void)state;
    put_machine();
    sb_sha256(&part, 1, digest);
    for (int i = 0; i < 32; i++)
        snprintf(want + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(derived(id), want);
}

static void order_of_the_interfaces_does_not_matter(void **state)
{
    char text[1024] = "sb device id 1\n", name[16], address[32], want[DEVICE_ID_LEN + 1];
    char id[DEVICE_ID_LEN + 1];
    unsigned char digest[32];
    struct sb_span part;

    (void)state;
    for (int i = 0; i < 9; i++) {
        snprintf(name, sizeof(name), "eth%d", i);
        snprintf(address, sizeof(address), "00:1b:21:aa:bb:%02x\n", (unsigned)(90 - 7 * i) % 64);
        put_interface(name, address, "0\n", true);
    }
    for (int at = 0; at < 64; at++)
        for (int i = 0; i < 9; i++)
            if ((90 - 7 * i) % 64 == at)
                snprintf(text + strlen(text), sizeof(text) - strlen(text),
                         "address=00:1b:21:aa:bb:%02x\n", (unsigned)at);
    part = sb_span_of(text);
    sb_sha256(&part, 1, digest);
    for (int i = 0; i < 32; i++)
        snprintf(want + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(derived(id), want);
}

static void every_characteristic_makes_another(void **state)
{
    static const struct {
        const char *path, *text;
    } changes[] = {
        {"etc/machine-id", "ff1e2d3c4b5a69788796a5b4c3d2e1f0\n"},
        {"sys/class/dmi/id/product_uuid", "4c4c4544-0042-3510-8052-b4c04f4e4d33\n"},
        {"sys/class/net/eth0/address", "00:1b:21:aa:bb:cd\n"},
        {"proc/cpuinfo", "model name\t: Another CPU\n"},
        {"proc/device-tree/serial-number", "10000000abcdef01"},
    };
    char before[DEVICE_ID_LEN + 1], after[DEVICE_ID_LEN + 1];

    (void)state;
    put_machine();
    derived(before);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        put(changes[i].path, changes[i].text);
        derived(after);
        assert_string_not_equal(after, before);
        memcpy(before, after, sizeof(before));
    }
}

static void what_comes_and_goes_changes_nothing(void **state)
{
    char before[DEVICE_ID_LEN + 1], after[DEVICE_ID_LEN + 1];

    (void)state;
    put_machine();
    derived(before);
    put_interface("usb0", "2e:aa:bb:cc:dd:ff\n", "1\n", true);
    put_interface("veth12", "5e:aa:bb:cc:dd:ff\n", "0\n", false);
    put_interface("wg0", "", "0\n", true);
    put("sys/class/net/bonding_masters", "\n");
    put("sys/class/net/can0/type", "280\n");
    assert_string_equal(derived(after), before);
}

static void copies_of_an_image_differ_by_their_hardware(void **state)
{
    char one[DEVICE_ID_LEN + 1], two[DEVICE_ID_LEN + 1];

    (void)state;
    put("etc/machine-id", "0f1e2d3c4b5a69788796a5b4c3d2e1f0\n");
    put_interface("eth0", "00:1b:21:aa:bb:cc\n", "0\n", true);
    derived(one);
    put_interface("eth0", "00:1b:21:aa:bb:cd\n", "0\n", true);
    assert_string_not_equal(derived(two), one);
}

static void arm_board_is_told_by_its_serial_number(void **state)
{
    char one[DEVICE_ID_LEN + 1], two[DEVICE_ID_LEN + 1];

    (void)state;
    put("proc/cpuinfo", "processor : 0\n\nSerial : 1\nModel\t\t: Raspberry Pi 4 Model B Rev 1.1\n");
    put("proc/device-tree/serial-number", "10000000abcdef01");
    derived(one);
    put("proc/device-tree/serial-number", "10000000abcdef02");
    assert_string_not_equal(derived(two), one);
    put("proc/device-tree/serial-number", "10000000abcdef01");
    put("proc/cpuinfo", "Model\t\t: Raspberry Pi 5\n");
    assert_string_not_equal(derived(two), one);
}

static void what_every_machine_has_is_no_identity(void **state)
{
    char id[DEVICE_ID_LEN + 1] = "x";

    (void)state;
    assert_int_equal(device_id_derive(root, id, &err), -(int)SB_EIDENTITY);
    assert_non_null(strstr(err.msg, "[device] id"));
    assert_string_equal(id, "");
    put("proc/cpuinfo", "model name : Some CPU\n");
    put("etc/machine-id", "uninitialized\n");
    put("sys/class/dmi/id/product_uuid", "03000200-0400-0500-0006-000700080009\n");
    put("proc/device-tree/serial-number", "0000000000000000");
    put_interface("eth0", "00:00:00:00:00:00\n", "0\n", true);
    assert_int_equal(device_id_derive(root, id, &err), -(int)SB_EIDENTITY);
    put("sys/class/dmi/id/product_uuid", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF\n");
    put("etc/machine-id", "");
    assert_int_equal(device_id_derive(root, id, &err), -(int)SB_EIDENTITY);
}

static void kept_id_outlives_the_machine(void **state)
{
    char first[DEVICE_ID_LEN + 1], id[DEVICE_ID_LEN + 1], path[128];
    struct stat st;

    (void)state;
    put_machine();
    assert_int_equal(device_id_read(state_dir, id, &err), -(int)SB_ENOT_FOUND);
    assert_int_equal(device_id_find(state_dir, root, first, &err), 0);
    assert_int_equal(device_id_read(state_dir, id, &err), -(int)SB_ENOT_FOUND); /* not kept yet */
    assert_int_equal(device_id_keep(state_dir, root, id, &err), 0);
    assert_string_equal(id, first);
    snprintf(path, sizeof(path), "%s/%s", state_dir, DEVICE_ID_FILE);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, DEVICE_ID_LEN + 1);

    put("etc/machine-id", "ff1e2d3c4b5a69788796a5b4c3d2e1f0\n");
    assert_string_not_equal(derived(id), first);
    assert_int_equal(device_id_keep(state_dir, root, id, &err), 0);
    assert_string_equal(id, first);
    assert_int_equal(device_id_find(state_dir, "/nowhere", id, &err), 0);
    assert_string_equal(id, first);
    assert_int_equal(device_id_read(state_dir, id, &err), 0);
    assert_string_equal(id, first);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(state_dir), 0); /* nothing else was left in it */
    assert_int_equal(mkdir(state_dir, 0700), 0);
}

static void file_with_something_else_is_not_believed(void **state)
{
    static const char *const texts[] = {
        "",
        "\n",
        "edge-001\n",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n",
        "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef\n",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef \n",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n\n",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0",
    };
    char id[DEVICE_ID_LEN + 1];

    (void)state;
    put_machine();
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        put("state/" DEVICE_ID_FILE, texts[i]);
        assert_int_equal(device_id_read(state_dir, id, &err), -(int)SB_ECORRUPT);
        assert_int_equal(device_id_keep(state_dir, root, id, &err), -(int)SB_ECORRUPT);
        assert_string_equal(id, "");
    }
    put("state/" DEVICE_ID_FILE,
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    assert_int_equal(device_id_read(state_dir, id, &err), 0); /* written by hand, no line end */
}

static void folder_that_is_not_there_is_an_error(void **state)
{
    char id[DEVICE_ID_LEN + 1];

    (void)state;
    put_machine();
    assert_int_equal(device_id_keep("/nowhere/at/all", root, id, &err), -(int)SB_ENOT_FOUND);
    assert_string_equal(id, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_the_hash_of_the_characteristics, setup, teardown),
        cmocka_unit_test_setup_teardown(order_of_the_interfaces_does_not_matter, setup, teardown),
        cmocka_unit_test_setup_teardown(every_characteristic_makes_another, setup, teardown),
        cmocka_unit_test_setup_teardown(what_comes_and_goes_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(copies_of_an_image_differ_by_their_hardware, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(arm_board_is_told_by_its_serial_number, setup, teardown),
        cmocka_unit_test_setup_teardown(what_every_machine_has_is_no_identity, setup, teardown),
        cmocka_unit_test_setup_teardown(kept_id_outlives_the_machine, setup, teardown),
        cmocka_unit_test_setup_teardown(file_with_something_else_is_not_believed, setup, teardown),
        cmocka_unit_test_setup_teardown(folder_that_is_not_there_is_an_error, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
