# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Start here
#
# This course teaches the arithmetic of serving language models: how many requests are in flight,
# what a token costs, where the memory goes, how long somebody waits, and what a fleet does about
# it. You need Python and school algebra; no GPU, no account, no network.

# %% [markdown]
# ## The chapters
#
# Chapters 1 to 4 can be taken in any order, 1 first if queues are new to you; 5 uses all of them.
#
# << chapters >>
#
# Minutes are an estimate; they stand below each notebook's title too.
#
# ## How it works
#
# - **Theory** runs as it stands (Run › Run All Cells). Each section ends with a question: write
#   `answer = 7.5` in the place of `answer = None`, run the cell, and it tells you. A first miss is
#   told what kind of miss it looks like, a second one gets a hint, `answer = "?"` shows how it is
#   done.
# - **Exercises** ask for functions. Below each stand a try-it cell, visible checks, and a
#   `deep_check`, which looks for an input that breaks your function and shows the smallest one.
#   If somebody grades you, hidden tests come after that; they ask for nothing that the statement
#   does not say.
# - **Labs** ask for a prediction before they show what happens. Lock it, then look; being wrong in
#   front of a picture is how most of it is learned.
# - When you have a service of your own in mind, [bring it](your_service.ipynb).
# - Statements lead to the section of theory that helps, sections to their exercises.
# - Before you hand in: *Kernel > Restart and Run All*, then the **Validate** button.
#
# ## Try it
#
# The first question of chapter 1: 18 requests arrive in a second, and 45 are there on average. How
# many seconds does one stay? Write the number in the place of `None`, and run the cell with
# Shift-Enter.

# %%
from servemath_helpers.notebook import check_yourself, progress

answer = None
check_yourself("1.1", answer)

# %% [markdown]
# ## Where you stand
#
# What you answer and what passes is kept in a file of your own, `~/.servemath/progress.json`, on
# this computer: nobody is sent it, and no grade looks at it. Run this cell now and then.

# %%
progress()
