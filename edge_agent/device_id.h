#ifndef EDGE_DEVICE_ID_H
#define EDGE_DEVICE_ID_H

#include "common/err.h"

/* The identity of a device that nobody gave one: the SHA-256, in hex, of what tells this machine
 * from others: /etc/machine-id, the board's product UUID or serial number where this user may read
 * it, the permanent hardware addresses of its physical network interfaces in sorted order, and the
 * CPU's model. It is worked out once, kept in the state folder, and never worked out again: a new
 * network card, another kernel or another machine-id changes nothing.
 *
 * Two devices from one image: an image with a machine-id in it gives that to all its copies; their
 * product UUIDs and hardware addresses still tell them apart, unless it is the image of a virtual
 * machine that was copied with those too, or of a container, which has none of its own. An image
 * that was made after the agent's first start has the kept id in its state folder, and then all
 * copies are one device: the broker lets only one be connected, `status` says that another client
 * uses this identity, the cloud reports the clone. What helps: make images without the state folder
 * and with an empty /etc/machine-id (it is filled at the first start), or give each device its name
 * with [device] id or a certificate. */

#define DEVICE_ID_LEN  64
#define DEVICE_ID_FILE "device-id" /* in the state folder, mode 0600 */

/* Works it out from the files under root ("/"; another folder in tests). SB_EIDENTITY where there
 * is nothing that tells this machine from others of its kind (no machine-id, UUID, serial number or
 * address). */
int device_id_derive(const char *root, char out[DEVICE_ID_LEN + 1], struct sb_err *err);

/* The one kept in the folder. SB_ENOT_FOUND where there is none yet, SB_EIO where it cannot be
 * read, SB_ECORRUPT where the file holds something else; out is "" then. */
int device_id_read(const char *state_dir, char out[DEVICE_ID_LEN + 1], struct sb_err *err);

/* The kept one; where none is kept yet what would be. Writes nothing. Errors of both; out is ""
 * then.
 */
int device_id_find(const char *state_dir, const char *root, char out[DEVICE_ID_LEN + 1],
                   struct sb_err *err);

/* The kept one, or else worked out and kept, in a folder that is there. The file appears whole
 * (written beside, fsync, renamed into place, fsync of the folder); where two do this at once both
 * get the first one's. SB_EIDENTITY, SB_EIO, SB_ECORRUPT, SB_EDISK_FULL, SB_EREAD_ONLY. */
int device_id_keep(const char *state_dir, const char *root, char out[DEVICE_ID_LEN + 1],
                   struct sb_err *err);

#endif
