#ifndef SIM_DB_SQLITE_H
#define SIM_DB_SQLITE_H

#include <sqlite3.h>

#include "sim_db.h"

/* For the files that look into databases by SQL. */

/* A statement of the connection that keeps the database, ready to be bound: kept for the next time,
 * so it ends with sim_db_done and not with a finalize, and is not used within itself. sql: static
 * text. */
sqlite3_stmt *sim_db_query(const struct sim_db *db, const char *sql);
void sim_db_done(sqlite3_stmt *stmt);

#endif
