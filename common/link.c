#include "link.h"

#include <stdlib.h>

void sb_link_event_fini(struct sb_link_event *event)
{
    free(event->topic);
    sb_buf_free(&event->payload);
    sb_buf_free(&event->correlation);
    *event = (struct sb_link_event){0};
}
