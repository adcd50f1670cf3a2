"""The check of slots: does an image show what its identity's slots name?"""
