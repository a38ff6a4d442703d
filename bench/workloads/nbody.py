"""Arithmetic on floats in lists: almost no allocation reaches a hook (floats come from a freelist)."""
import sys


def accelerate(pos, vel, mass, dt):
    count = len(mass)
    for a in range(count):
        ax = ay = 0.0
        xa, ya = pos[a]
        for b in range(count):
            if a == b:
                continue
            dx = pos[b][0] - xa
            dy = pos[b][1] - ya
            pull = mass[b] / ((dx * dx + dy * dy + 0.05) ** 1.5)
            ax += dx * pull
            ay += dy * pull
        vel[a][0] += ax * dt
        vel[a][1] += ay * dt


def drift(pos, vel, dt):
    for p, v in zip(pos, vel):
        p[0] += v[0] * dt
        p[1] += v[1] * dt


def main(steps):
    mass = [1.0, 0.5, 0.25, 2.0, 0.125]
    pos = [[float(i), float(i * i % 7)] for i in range(5)]
    vel = [[0.0, 0.1 * i] for i in range(5)]
    for _ in range(steps):
        accelerate(pos, vel, mass, 0.001)
        drift(pos, vel, 0.001)
    print("%.6f" % sum(p[0] + p[1] for p in pos))


main(int(sys.argv[1]) if len(sys.argv) > 1 else 20000)
