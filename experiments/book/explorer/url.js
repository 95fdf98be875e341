"use strict";
// The state of a page lives in the hash of its address, so that a link restores the same picture.
{
  let waiting = null;

  gdjax.url = {
    /** The state in the address, as texts by name. */
    read() {
      return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    },

    /** Write a state into the address, once a drag or a slider has come to rest: browsers throttle the history. */
    write(state) {
      clearTimeout(waiting);
      waiting = setTimeout(() => history.replaceState(null, "", gdjax.url.hash(state)), 150);
    },

    /** The hash of a state; numbers are written with all their digits. */
    hash(state) {
      const encoded = (value) => encodeURIComponent(String(value)).replaceAll("%2C", ",").replaceAll("%3A", ":");
      return "#" + Object.entries(state).map(([name, value]) => `${name}=${encoded(value)}`).join("&");
    },
  };
}
