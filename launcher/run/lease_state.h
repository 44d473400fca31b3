/*
 * lease_state - what is done next about a lease: a table and a pure function.
 *
 * A lease is a state of the guest that hurts when it is forgotten (its file systems are frozen, it is paused) and a
 * holder who may die at any moment. Taking it, undoing it and proving that it is undone are commands whose outcome may
 * stay unknown; what counts is that the table leaves no way from "may be taken" to "none" but by a proof, or by a
 * guest or QEMU that is no more.
 */
#pragma once

/* From 1, so that a forgotten cell reads as no state. */
enum lease_state {
        LEASE_NONE = 1, /* not taken, as far as we had a part in it */
        LEASE_ASKED,    /* taking: the command is out, its outcome is not known */
        LEASE_HELD,
        LEASE_UNDOING, /* the undoing command is out */
        LEASE_PROVING, /* undone by its own word; asked whether that is true */
        LEASE_WAITING, /* undoing or proof failed: again later */
        LEASE_STATES,
};

enum lease_event {
        LEASE_BEGIN = 1,
        LEASE_TAKEN,   /* the guest did it */
        LEASE_REFUSED, /* it says that it did not */
        LEASE_NEVER,   /* nothing happened and nothing will: never sent, or refused before it was tried */
        LEASE_LOST,    /* no answer: it may have happened, or happen yet */
        LEASE_END,     /* asked for, limit passed, or the holder is gone */
        LEASE_UNDONE,
        LEASE_NOT_UNDONE, /* refused or no answer */
        LEASE_PROVEN,
        LEASE_STILL_THERE,
        LEASE_NO_PROOF, /* no answer to the question */
        LEASE_AGAIN,    /* time to try again */
        LEASE_OVER,     /* by itself: the guest was reset or resumed, QEMU is gone */
        LEASE_EVENTS,
};

enum lease_action {
        LEASE_DO_NOTHING = 1,
        LEASE_DO_TAKE,
        LEASE_DO_TELL_HELD, /* who asked for it gets it */
        LEASE_DO_UNDO,
        LEASE_DO_PROVE,
        LEASE_DO_WAIT,   /* and then LEASE_AGAIN */
        LEASE_DO_FINISH, /* no obligation any more: told to all who wait */
};

struct lease_move {
        enum lease_state state;
        enum lease_action action;
};

struct lease_move lease_next(enum lease_state state, enum lease_event event);
